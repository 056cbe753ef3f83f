/** The DNS guard: started with the sockets that port 53 is redirected to, answered when it has learned addresses. */
import { fork } from 'node:child_process'
import { z } from 'zod'
import { closeDatagramSocket, openDatagramSocket } from '../../firewall/datagram-socket.ts'
import { closeListener, openListener } from '../../firewall/listening-socket.ts'
import type { RulesInForce } from '../../policies/rules.ts'
import { messageOf } from '../base/errors.ts'
import type { Account } from './accounts.ts'
import { type Child, type ChildState, supervise } from './child.ts'
import type { Log } from './log.ts'
import { childEnvironment, programRoot } from './program.ts'
import type { Listener } from './proxy-workers.ts'
import { unprivileged } from './unprivileged.ts'

const NAME = 'dns-guard'
/** stdin, stdout, stderr, ipc; the sockets follow. */
const FIRST_SOCKET_FD = 4
/** It says something every second. */
const BEAT_MS = 10_000

const name = z.string().max(1024)
const time = z.number().nonnegative()

/** What the guard may say. It parses hostile traffic: anything else is dropped and logged. */
const FromGuard = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  z.object({ type: z.literal('beat') }),
  z.object({
    type: z.literal('learn'),
    request: z.int(),
    name,
    entries: z
      .array(z.object({ address: z.string().max(64), ttlSeconds: z.int().min(0).max(0xffff_ffff) }))
      .max(256),
  }),
  z.object({
    type: z.literal('refusal'),
    rule: z.string().min(1).max(256),
    reason: z.string().max(2048),
    protocol: z.enum(['udp', 'tcp']),
    client: z.object({ address: z.string().max(64), port: z.int().min(0).max(65535) }).optional(),
    name,
    count: z.int().positive(),
    from: time,
    to: time,
  }),
  z.object({ type: z.literal('state') }).loose(),
])

type Message = z.output<typeof FromGuard>
export type DnsRefusal = Omit<Extract<Message, { type: 'refusal' }>, 'type'>
export interface LearnedAddress {
  readonly address: string
  readonly ttlSeconds: number
}

export interface DnsSockets {
  readonly udp: readonly Listener[]
  readonly tcp: readonly Listener[]
  close(): void
}

/**
 * The guard's sockets, bound once and kept like the proxy's: nobody can squat the port while the guard restarts, and
 * questions wait meanwhile. Wildcard addresses: a redirected local question comes to a loopback address, a
 * container's to one of its bridge's.
 * @throws FirewallError
 */
export function openDnsSockets(port: number): DnsSockets {
  const udp: Listener[] = []
  const tcp: Listener[] = []
  const close = () => {
    for (const { fd } of udp.splice(0)) closeDatagramSocket(fd)
    for (const { fd } of tcp.splice(0)) closeListener(fd)
  }
  try {
    for (const { family, address } of [
      { family: 4, address: '0.0.0.0' },
      { family: 6, address: '::' },
    ] as const) {
      udp.push({ family, fd: openDatagramSocket({ address, port }) })
      tcp.push({ family, fd: openListener({ address, port }) })
    }
  } catch (error) {
    close()
    throw error
  }
  return { udp, tcp, close }
}

export interface DnsGuardOptions {
  /** The proxy's: its sockets pass the rules. */
  readonly account: Account
  readonly log: Log
  readonly sockets: Pick<DnsSockets, 'udp' | 'tcp'>
  readonly rules: () => RulesInForce
  /** Of gateway.yaml; empty: the machine's own. */
  readonly upstreams: readonly string[]
  readonly bridges: readonly string[]
  /** Resolves once the kernel's sets hold the addresses; the answer to the client waits for it, 500 ms at most. */
  readonly learn: (name: string, entries: readonly LearnedAddress[]) => Promise<void>
  /** Questions that were not asked: the first of a kind at once, then counts. */
  readonly refusal: (refusal: DnsRefusal) => void
  readonly changed: (state: ChildState) => void
  readonly died: (how: string) => void
}

export function startDnsGuard(options: DnsGuardOptions): Child {
  const { log, sockets } = options
  const inherited = [...sockets.udp, ...sockets.tcp]
  const numbered = (listeners: readonly Listener[], first: number) =>
    listeners.map(({ family }, i) => ({ family, fd: first + i }))
  return supervise({
    name: NAME,
    log,
    beatMs: BEAT_MS,
    changed: options.changed,
    died: options.died,
    spawn: () =>
      fork(`${programRoot}/daemon/dns-guard/main.ts`, [], {
        ...unprivileged(options.account),
        cwd: '/',
        env: childEnvironment,
        serialization: 'advanced',
        stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...inherited.map(({ fd }) => fd)],
      }),
    started: (child) => {
      const start = {
        type: 'start',
        udp: numbered(sockets.udp, FIRST_SOCKET_FD),
        tcp: numbered(sockets.tcp, FIRST_SOCKET_FD + sockets.udp.length),
        rules: options.rules(),
        upstreams: options.upstreams,
        bridges: options.bridges,
      }
      child.send(start, () => {})
    },
    message: (raw, child) => {
      const parsed = FromGuard.safeParse(raw)
      if (!parsed.success) {
        log.error(`${NAME} sent a message of unknown shape; dropped`)
        return false
      }
      const message = parsed.data
      if (message.type === 'refusal') {
        const { type: _, ...refusal } = message
        options.refusal(refusal)
      }
      if (message.type === 'learn') {
        const { request } = message
        // Without an acknowledgement the guard withholds the answer.
        options.learn(message.name, message.entries).then(
          () => child.send({ type: 'learned', request }, () => {}),
          (error: unknown) =>
            void log.error(`addresses of ${message.name} were not learned: ${messageOf(error)}`),
        )
      }
      return message.type === 'ready'
    },
  })
}
