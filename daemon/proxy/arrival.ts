/**
 * A connection from the kernel: whose, where to, what it is, and so what becomes of it.
 *
 * Threat model: the agent chooses every byte and when to send it. What is read before the decision is bounded in
 * size and time. Silence is let through where the policy says so (server-first protocols), but a client that
 * speaks later is looked at then, and cut if it names a provider.
 */
import type { Socket } from 'node:net'
import type { Decision, Seen } from '../../policies/decide.ts'
import type { Leaves } from './leaves.ts'
import type { AgentConnection } from './relay/agent-connection.ts'
import { type ConnectionFacts, recordRefusal, type Shared } from './relay/facts.ts'
import { intercept } from './relay/intercept.ts'
import { type Sniffed, sniff } from './sniff/sniff.ts'
import { splice } from './splice.ts'

/** A ClientHello or request line that began must be whole within this time. */
const PARTIAL_MS = 30_000

export interface ArrivalOptions {
  readonly shared: Shared
  readonly leaves: Leaves
  readonly decide: (seen: Seen) => Decision
  readonly isProvider: (address: string) => boolean
  readonly sniffTimeoutMs: number
  /** Called once an intercepted connection stands, and when the connection is over. */
  readonly intercepted: (connection: AgentConnection) => void
  readonly closed: (connection?: AgentConnection) => void
}

const NOTHING = Buffer.alloc(0)

export class Arrival {
  readonly #options: ArrivalOptions
  readonly #socket: Socket
  readonly #facts: ConnectionFacts
  #seen: Buffer = NOTHING
  #timer: NodeJS.Timeout | undefined
  readonly #onData = (bytes: Buffer) => this.#data(bytes)
  readonly #onEnd = () => this.#ended()
  readonly #onClose = () => this.#over()

  /** @param socket accepted, paused, with an error listener */
  constructor(options: ArrivalOptions, socket: Socket, facts: ConnectionFacts) {
    this.#options = options
    this.#socket = socket
    this.#facts = facts
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onClose)
    this.#timer = setTimeout(() => this.#silent(), options.sniffTimeoutMs)
    socket.resume()
  }

  #over(): void {
    clearTimeout(this.#timer)
    this.#options.closed()
  }

  #data(bytes: Buffer): void {
    if (this.#seen.length === 0) {
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.#stalled(), PARTIAL_MS)
    }
    this.#seen = this.#seen.length === 0 ? bytes : Buffer.concat([this.#seen, bytes])
    const sniffed = sniff(this.#seen)
    if (sniffed !== 'more') this.#decided(sniffed)
  }

  #decided(sniffed: Sniffed): void {
    const decision = this.#decide(sniffed)
    this.#release()
    if (decision.action === 'intercept') {
      this.#intercept(decision, sniffed)
      return
    }
    if (decision.action === 'refuse') {
      this.#refuse(decision)
      return
    }
    this.#options.shared.counters.spliced += 1
    splice(this.#socket, this.#facts.originalDestination, this.#seen)
  }

  /** No more will come: what is there decides. A probe that opens and closes without a word is no attempt. */
  #ended(): void {
    if (this.#seen.length > 0) {
      const sniffed = sniff(this.#seen, true)
      if (sniffed !== 'more') this.#decided(sniffed)
      return
    }
    const { decide, isProvider, shared } = this.#options
    const decision = decide({
      protocol: 'silent',
      destinationIsProvider: isProvider(this.#facts.originalDestination.address),
    })
    this.#release()
    if (decision.action !== 'splice') return void this.#socket.destroy()
    shared.counters.spliced += 1
    splice(this.#socket, this.#facts.originalDestination, NOTHING)
  }

  /** The strictest decision among the names that a connection gives. */
  #decide({ protocol, names, ech }: Sniffed): Decision {
    const destinationIsProvider = this.#options.isProvider(this.#facts.originalDestination.address)
    const decisions = (names.length === 0 ? [undefined] : names).map((name) =>
      this.#options.decide({ protocol, ech, destinationIsProvider, ...(name === undefined ? {} : { name }) }),
    )
    const by = (action: Decision['action']) => decisions.find((decision) => decision.action === action)
    return by('intercept') ?? by('refuse') ?? (decisions[0] as Decision)
  }

  /** Nothing came: the agent waits for the server to speak, or wants us to think so. */
  #silent(): void {
    const { decide, isProvider, shared } = this.#options
    const destinationIsProvider = isProvider(this.#facts.originalDestination.address)
    const decision = decide({ protocol: 'silent', destinationIsProvider })
    this.#release()
    if (decision.action !== 'splice') {
      this.#refuse(decision)
      return
    }
    shared.counters.spliced += 1
    let partial: NodeJS.Timeout | undefined
    this.#socket.once('close', () => clearTimeout(partial))
    splice(this.#socket, this.#facts.originalDestination, NOTHING, (bytes) => {
      this.#seen = bytes
      const sniffed = sniff(bytes)
      if (sniffed === 'more') {
        partial ??= setTimeout(() => this.#stalled(), PARTIAL_MS)
        return undefined
      }
      clearTimeout(partial)
      const late = this.#decide(sniffed)
      if (late.action === 'splice') return 'pass'
      this.#record(late, 'it spoke only after the connection had been passed on as silent')
      return 'cut'
    })
  }

  /** Began a ClientHello or a request and did not end it. */
  #stalled(): void {
    const { decide, isProvider } = this.#options
    if (isProvider(this.#facts.originalDestination.address)) {
      const protocol = this.#seen[0] === 0x16 ? 'tls' : 'other'
      this.#record(
        decide({ protocol, destinationIsProvider: true }),
        'its first message did not come to an end',
      )
    }
    this.#socket.destroy()
  }

  #intercept(decision: Decision, { protocol, alpn }: Sniffed): void {
    const { name, provider, rule } = decision
    if (name === undefined || provider === undefined) {
      this.#refuse(decision)
      return
    }
    const { shared, leaves, closed, intercepted } = this.#options
    const governed = { ...this.#facts, name, provider, rule, tls: protocol === 'tls' }
    this.#socket.off('close', this.#onClose)
    this.#socket.unshift(this.#seen)
    intercept(shared, leaves, this.#socket, governed, alpn, closed).then((connection) => {
      if (connection) intercepted(connection)
    })
  }

  #refuse(decision: Decision): void {
    this.#record(decision)
    this.#socket.resetAndDestroy()
  }

  #record(decision: Decision, why?: string): void {
    const reason = [decision.reason ?? `governed name ${decision.name ?? ''}`.trim(), why]
      .filter(Boolean)
      .join('; ')
    recordRefusal(this.#options.shared, { ...this.#facts, name: decision.name }, decision.rule, reason)
  }

  /** Stops looking; what was read goes back, for whoever takes the socket. */
  #release(): void {
    clearTimeout(this.#timer)
    this.#socket.off('data', this.#onData)
    this.#socket.off('end', this.#onEnd)
    this.#socket.pause()
  }
}
