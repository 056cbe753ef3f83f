/** The proxy workers: started with the listening sockets, answered when they ask for a leaf. */
import { fork } from 'node:child_process'
import { z } from 'zod'
import type { Agent } from '../recorder/record.ts'
import type { Account } from './accounts.ts'
import type { OwnerFlow } from './attribution/owner.ts'
import { type Child, type ChildState, supervise } from './child.ts'
import type { ChildName } from './child-name.ts'
import type { Log } from './log.ts'
import { childEnvironment, programRoot } from './program.ts'
import { type Traffic, WorkerCounters } from './traffic.ts'
import { unprivileged } from './unprivileged.ts'

const Endpoint = z.object({ address: z.string().max(64), port: z.int().min(0).max(65535) })

const OwnerQuestion = z.object({
  request: z.int(),
  family: z.literal([4, 6]),
  client: Endpoint,
  destination: Endpoint,
  listener: Endpoint.optional(),
  inode: z.int().positive().optional(),
  uid: z.int().min(0).max(0xffff_ffff).optional(),
  cgroup: z.bigint().nonnegative().optional(),
})

/** What a worker may say. It parses hostile traffic: anything else is dropped and logged. */
const FromWorker = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  z.object({
    type: z.literal('leaf?'),
    request: z.int(),
    name: z.string().max(253),
    spki: z.instanceof(Uint8Array).refine((key) => key.length <= 256),
  }),
  z.object({
    type: z.literal('owner?'),
    questions: z.array(OwnerQuestion).max(65_536),
  }),
  z.object({
    type: z.literal('learned'),
    name: z.string().max(253),
    addresses: z.array(z.string().max(64)).max(256),
    ttlSeconds: z.number().nonnegative().optional(),
  }),
  z.object({
    type: z.literal('dialled'),
    flows: z.array(z.object({ local: Endpoint, remote: Endpoint })).max(65_536),
  }),
  z.object({ type: z.literal('beat') }),
  z.object({ type: z.literal('resolved'), answered: z.boolean() }),
  z.object({ type: z.literal('drained') }),
  WorkerCounters.extend({ type: z.literal('state') }),
])

export interface Listener {
  readonly fd: number
  readonly family: 4 | 6
}

interface Endpoint {
  readonly address: string
  readonly port: number
}

export interface LearnedAddress {
  readonly name: string
  readonly address: string
  readonly ttlSeconds?: number
}

export interface DialledFlow {
  readonly local: Endpoint
  readonly remote: Endpoint
}

/** A worker that is silent for so long doesn't serve anybody: it is killed and another one takes the listeners. */
const BEAT_MS = 10_000

export interface WorkerOptions {
  readonly name: ChildName
  readonly account: Account
  readonly listeners: readonly Listener[]
  readonly log: Log
  /** The start message less the listeners' descriptor numbers, which are the child's own. */
  readonly start: () => Record<string, unknown>
  readonly leaf: (name: string, spki: Buffer) => Promise<string>
  /** Addresses of a name of the catalogue; `ttlSeconds` as DNS said, absent where something else named them. */
  readonly learned: (entries: readonly LearnedAddress[]) => void
  /** Whose a connection is, for its record; rejects never. */
  readonly owner: (flow: OwnerFlow) => Promise<Agent>
  /** Connections of the worker to servers, before anything was sent on them. */
  readonly dialled: (flows: readonly DialledFlow[]) => void
  /** More exchanges went through without a record, as the policy wants it: how many, and since when (ms since the epoch). */
  readonly unrecorded: (count: number, since: number) => void
  /** What it counts, and that it is gone with that. */
  readonly traffic: Traffic
  /** The worker has been through the catalogue; whether any name server answers it. */
  readonly resolved: (answered: boolean) => void
  /** What was under way when it was told to drain is over. */
  readonly drained: () => void
  readonly changed: (state: ChildState) => void
  readonly died: (how: string) => void
}

/** stdin, stdout, stderr, ipc; the listeners follow. */
const FIRST_LISTENER_FD = 4

export function startWorker(options: WorkerOptions): Child {
  const { name, log } = options
  let unrecorded = 0
  let looked = Date.now()
  return supervise({
    name,
    log,
    beatMs: BEAT_MS,
    changed: options.changed,
    died: options.died,
    spawn: () =>
      fork(`${programRoot}/daemon/proxy/main.ts`, [], {
        // Its heap is small, and its other threads are in the background (base/background.ts).
        ...unprivileged(options.account, ['--single-threaded-gc']),
        cwd: '/',
        env: childEnvironment,
        serialization: 'advanced',
        stdio: ['ignore', 'pipe', 'pipe', 'ipc', ...options.listeners.map((listener) => listener.fd)],
      }),
    started: (child) => {
      options.traffic.ended(name)
      unrecorded = 0
      const listeners = options.listeners.map(({ family }, i) => ({ family, fd: FIRST_LISTENER_FD + i }))
      child.send({ type: 'start', listeners, ...options.start() }, () => {})
    },
    message: (raw, child) => {
      const parsed = FromWorker.safeParse(raw)
      if (!parsed.success) {
        log.error(`${name} sent a message of unknown shape; dropped`)
        return false
      }
      const message = parsed.data
      if (message.type === 'learned') {
        const { name, addresses, ttlSeconds } = message
        const ttl = ttlSeconds === undefined ? {} : { ttlSeconds }
        options.learned(addresses.map((address) => ({ name, address, ...ttl })))
      }
      if (message.type === 'dialled') options.dialled(message.flows)
      if (message.type === 'owner?') {
        // One pass through /proc answers them together.
        const answers = message.questions.map(async ({ request, ...flow }) => ({
          request,
          agent: await options.owner({ protocol: 'tcp', ...flow }),
        }))
        Promise.all(answers).then((all) => child.send({ type: 'owner', answers: all }, () => {}))
      }
      if (message.type === 'resolved') options.resolved(message.answered)
      if (message.type === 'drained') options.drained()
      if (message.type === 'state') {
        options.traffic.says(name, message)
        if (message.unrecorded > unrecorded) options.unrecorded(message.unrecorded - unrecorded, looked)
        unrecorded = message.unrecorded
        looked = Date.now()
      }
      if (message.type === 'leaf?') {
        const { request } = message
        options.leaf(message.name, Buffer.from(message.spki)).then(
          (pem) => child.send({ type: 'leaf', request, pem }, () => {}),
          (error: Error) => child.send({ type: 'leaf', request, error: error.message }, () => {}),
        )
      }
      return message.type === 'ready'
    },
  })
}
