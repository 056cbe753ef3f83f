/**
 * A proxy worker without its process: accepted sockets in, everything else through the interfaces below. The
 * shell around it (main.ts) brings the kernel and the supervisor.
 */
import type { Socket } from 'node:net'
import { isAmong } from '../../firewall/ip-address.ts'
import { holdsGoverned, matchHost } from '../../policies/catalogue.ts'
import { decide } from '../../policies/decide.ts'
import type { Decision, Seen } from '../../policies/decision.ts'
import type { RulesInForce } from '../../policies/rules.ts'
import type { Agent, Endpoint } from '../recorder/protocol.ts'
import { Arrival } from './arrival.ts'
import { fingerprintWith } from './credentials/fingerprint.ts'
import { Deadlines } from './deadlines.ts'
import { Endings } from './endings.ts'
import { type HoldSettings, Holds } from './holding/holds.ts'
import { KEEP_ALIVE_MS } from './keep-alive.ts'
import { type AskForLeaf, Leaves } from './leaves.ts'
import type { WorkerState } from './messages.ts'
import { movement } from './movement.ts'
import { canonicalAddress } from './names/addresses.ts'
import { Directory } from './names/directory.ts'
import type { Dns } from './names/dns.ts'
import { type OwnerQuestion, Owners } from './owners.ts'
import { RecorderLink } from './recorder-link.ts'
import type { Intercepted } from './relay/agent-side.ts'
import type { Counters, Shared } from './relay/facts.ts'
import { Refusers } from './untouched/refusers.ts'
import { Providers } from './upstream/providers.ts'
import type { Dialled } from './upstream/reach.ts'
import { UpstreamTrust } from './upstream/trust.ts'
import { probe } from './vouching/certificate-probe.ts'
import { Vouching } from './vouching/vouching.ts'

/** What the kernel says of the client's socket; `cgroup` is an id. */
interface SocketOwner {
  readonly uid: number
  readonly inode: number
  readonly cgroup?: bigint
}

export interface Kernel {
  /** Where an accepted socket's client meant to go; undefined where the kernel doesn't know. */
  originalDestination(socket: Socket, family: 4 | 6): Endpoint | undefined
  /** Whose socket the client's is; undefined where it is gone. */
  flowOwner(flow: { family: 4 | 6; client: Endpoint; destination: Endpoint }): SocketOwner | undefined
}

export interface WorkerOptions {
  readonly kernel: Kernel
  readonly rules: RulesInForce
  /** In place of the rules' own decisions. */
  readonly decide?: (seen: Seen) => Decision
  readonly askForLeaf: AskForLeaf
  /** @param ttlSeconds as DNS said; undefined where something else named them */
  readonly learned: (name: string, addresses: readonly string[], ttlSeconds?: number) => void
  /** Asks whose a connection is; answered through {@link Worker.ownerFound}, or not at all. */
  readonly askForOwner?: (question: OwnerQuestion) => void
  /** A connection to a server was opened; nothing was sent on it yet. */
  readonly dialled?: (flow: Dialled) => void
  readonly dns: Dns
  readonly hosts: (name: string) => readonly string[]
  /** Is it an address of this machine's? */
  readonly isOwn?: (address: string) => boolean
  readonly staticHosts: Readonly<
    Record<string, { readonly addresses: readonly string[]; readonly root?: string | undefined }>
  >
  readonly systemRoots: readonly string[]
  readonly recorderSocket: string
  /** How long the recorder may take to make a request durable. */
  readonly recorderTimeoutMs?: number
  readonly fingerprintKey: Buffer
  readonly durability: 'before-forward' | 'async'
  /** Answers are held until their records have come so far. */
  readonly hold?: HoldSettings | undefined
  /** Bytes of answers that may be held. */
  readonly maxHeld?: number
  readonly sniffTimeoutMs: number
  readonly providerAddresses: readonly string[]
}

/** Connections open at once in one worker; more are closed as they come. Descriptors: two each. */
const MAX_CONNECTIONS = 16_384
const STOP_MS = 5000
/** For sockets to close and their last messages to be told: the supervisor waits 7 s in all. */
const CLOSE_MS = 900
const STOP_LOOK_MS = 20

export class Worker {
  readonly #options: WorkerOptions
  readonly #shared: Shared
  readonly #leaves: Leaves
  readonly #trust: UpstreamTrust
  readonly #counters: Counters = {
    connections: 0,
    exchanges: 0,
    spliced: 0,
    refused: 0,
    failed: 0,
    tunnels: 0,
    unrecorded: 0,
  }
  /** Open connections; with what became of those that are intercepted. */
  readonly #sockets = new Map<Socket, Intercepted | undefined>()
  /** Had their time to come to an end. */
  readonly #drained = new Set<Intercepted>()
  readonly #owners: Owners
  #rules: RulesInForce
  #providerAddresses: Set<string>
  #stopping = false

  constructor(options: WorkerOptions) {
    this.#options = options
    this.#rules = options.rules
    const inForce = () => this.#rules
    this.#providerAddresses = canonical(options.providerAddresses)
    this.#owners = new Owners(options.askForOwner)
    this.#leaves = new Leaves(options.askForLeaf, options.fingerprintKey)
    const statics = Object.entries(options.staticHosts)
    const deadlines = new Deadlines()
    const dialled = options.dialled ?? (() => {})
    const roots = new Map(
      statics.flatMap(([name, { root }]) => (root === undefined ? [] : [[name, root] as const])),
    )
    const trust = new UpstreamTrust(options.systemRoots, roots)
    this.#trust = trust
    const probing = {
      contextFor: (name: string) => trust.contextFor(name),
      governs: (held: string) => holdsGoverned(inForce().catalogue, held),
      report: dialled,
    }
    this.#shared = {
      deadlines,
      recorder: new RecorderLink({
        path: options.recorderSocket,
        ...(options.recorderTimeoutMs === undefined ? {} : { answerTimeoutMs: options.recorderTimeoutMs }),
      }),
      providers: new Providers(deadlines, trust, dialled),
      vouching: new Vouching({ probe: (inquiry) => probe(probing, inquiry) }),
      refusers: new Refusers(),
      endings: new Endings(),
      directory: new Directory({
        dns: options.dns,
        hosts: options.hosts,
        isOwn: (address) => options.isOwn?.(address) ?? false,
        fixed: new Map(statics.map(([name, { addresses }]) => [name, [...canonical(addresses)]])),
        learned: (name: string, addresses: readonly string[], ttlSeconds?: number) =>
          this.#learned(name, addresses, ttlSeconds),
      }),
      fingerprint: fingerprintWith(options.fingerprintKey),
      holdBack: options.durability === 'before-forward',
      get policyHash() {
        return inForce().policy.hash
      },
      get policy() {
        return inForce().policy
      },
      governs: (name) => matchHost(inForce().catalogue, name) !== undefined,
      dialled,
      counters: this.#counters,
      holds: new Holds(options.hold, options.maxHeld),
      holding: { bytes: 0 },
    }
  }

  get directory(): Directory {
    return this.#shared.directory
  }

  state(): WorkerState {
    return {
      ...this.#counters,
      idleUpstream: this.#shared.providers.idle,
      recorder: this.#shared.recorder.connected ? 'connected' : 'lost',
      lostRefusals: this.#shared.recorder.lostRefusals,
      holding: this.#shared.holds.waiting,
      held: this.#shared.holds.held,
      undelivered: this.#shared.holds.undelivered,
      early: this.#shared.holds.early,
    }
  }

  /** Other rules are in force: connections live on, and what comes on them next goes by these. */
  setRules(rules: RulesInForce): void {
    this.#rules = rules
  }

  /**
   * The CA is another: the next handshakes show leaves of it, and connections that are open live on.
   * @param staticRoots PEM by name: what is trusted for static hosts from now on
   */
  setAuthorities(staticRoots: Readonly<Record<string, string>>): void {
    this.#leaves.forget()
    this.#trust.setExtra(new Map(Object.entries(staticRoots)))
  }

  /** The kernel's sets now hold these. */
  setProviderAddresses(addresses: readonly string[]): void {
    this.#providerAddresses = canonical(addresses)
  }

  /** The supervisor's answer to a question of `askForOwner`. */
  ownerFound(request: number, agent: Agent): void {
    this.#owners.answer(request, agent)
  }

  #learned(name: string, addresses: readonly string[], ttlSeconds: number | undefined): void {
    // Foreign names are looked up too, at an agent's word: their addresses are no provider's.
    if (matchHost(this.#rules.catalogue, name) === undefined) return
    for (const address of addresses) this.#providerAddresses.add(address)
    this.#options.learned(name, addresses, ttlSeconds)
  }

  /** Takes an accepted socket: paused, allowHalfOpen. */
  accept(socket: Socket, family: 4 | 6): void {
    socket.on('error', () => {})
    const found =
      this.#sockets.size < MAX_CONNECTIONS && !this.#stopping ? this.#identify(socket, family) : undefined
    if (!found) return void socket.destroy()
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    this.#sockets.set(socket, undefined)
    this.#counters.connections = this.#sockets.size
    const { sniffTimeoutMs } = this.#options
    new Arrival(
      {
        shared: this.#shared,
        leaves: this.#leaves,
        decide: this.#options.decide ?? ((seen) => decide(this.#rules, seen)),
        sniffTimeoutMs,
        isProvider: (address) => isAmong(this.#providerAddresses, address),
        isOwn: (address) => this.#options.isOwn?.(address) ?? false,
        intercepted: (connection) => {
          if (this.#sockets.has(socket)) this.#sockets.set(socket, connection)
          if (this.#stopping) connection.stop()
        },
        closed: () => {
          this.#sockets.delete(socket)
          this.#counters.connections = this.#sockets.size
        },
      },
      socket,
      found,
    )
  }

  #identify(socket: Socket, family: 4 | 6) {
    const client = endpoint(socket.remoteAddress, socket.remotePort)
    const own = endpoint(socket.localAddress, socket.localPort)
    let destination: Endpoint | undefined
    try {
      destination = this.#options.kernel.originalDestination(socket, family)
    } catch {
      // Where it went can't be known: nothing can be done for it.
    }
    const address = canonicalAddress(destination?.address ?? '')
    if (!client || !own || !destination || address === undefined) return undefined
    // Dialled directly: to go on would be to dial ourselves, for ever.
    if (own.port === destination.port && own.address === address) return undefined
    const originalDestination = { address, port: destination.port }
    const found = this.#socketOwner({ family, client, destination })
    const agent: Agent = found ? { uid: found.uid, inode: found.inode } : {}
    const flow = { family, client, destination: originalDestination, ...(found ?? { listener: own }) }
    const owner = this.#owners.of(flow, agent)
    return { client, originalDestination, agent: owner.agent, owner }
  }

  #socketOwner(flow: { family: 4 | 6; client: Endpoint; destination: Endpoint }): SocketOwner | undefined {
    try {
      return this.#options.kernel.flowOwner(flow)
    } catch {
      return undefined
    }
  }

  get #intercepted(): Intercepted[] {
    return [...this.#sockets.values()].filter((connection) => connection !== undefined)
  }

  /**
   * Lets what is under way come to its end, for so long at most, and goes on serving whoever comes meanwhile: exchanges
   * finish and their connections close. Of what is passed on unread, what still moves is waited for.
   */
  async drain(withinMs: number): Promise<void> {
    const under = this.#intercepted
    const passed = [...this.#sockets].flatMap(([socket, connection]) => (connection ? [] : [socket]))
    const moves = movement(passed)
    for (const connection of under) {
      this.#drained.add(connection)
      connection.stop()
    }
    await until(() => under.every((connection) => !connection.busy) && !moves(), withinMs)
  }

  /** Lets exchanges under way finish, for 5 s at most unless they had their time, then closes everything. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const connection of this.#intercepted) connection.stop()
    const over = (connection: Intercepted) => !connection.busy || this.#drained.has(connection)
    await until(() => this.#intercepted.every(over), STOP_MS)
    for (const socket of this.#sockets.keys()) socket.destroy()
    this.#owners.stop()
    // What ended with its connection is told before the recorder's is closed.
    await until(() => this.#sockets.size === 0, CLOSE_MS)
    await this.#shared.endings.settled(CLOSE_MS)
    this.#shared.providers.stop()
    this.#shared.deadlines.stop()
    await this.#shared.recorder.stop()
  }
}

async function until(holds: () => boolean, withinMs: number): Promise<void> {
  const end = performance.now() + withinMs
  while (!holds() && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, STOP_LOOK_MS))
  }
}

function endpoint(address: string | undefined, port: number | undefined): Endpoint | undefined {
  const known = canonicalAddress(address?.replace(/%.*$/, '') ?? '')
  return known === undefined || port === undefined ? undefined : { address: known, port }
}

function canonical(addresses: readonly string[]): Set<string> {
  return new Set(addresses.map(canonicalAddress).filter((address) => address !== undefined))
}
