/**
 * The leak sensor: one process that starts as root with the four capabilities that opening captures and leaving root
 * take, and has none of them when it reads its first packet. It can't open captures once it has: for more uplinks
 * than it has spare ones for it is started again.
 */
import { fork } from 'node:child_process'
import { z } from 'zod'
import type { Account } from './accounts.ts'
import { type Child, type ChildState, supervise } from './child.ts'
import type { Log } from './log.ts'
import { childEnvironment, nodeFlags, programRoot } from './program.ts'

const Address = z.string().max(64)
const Endpoint = z.strictObject({ address: Address, port: z.int().min(0).max(65_535) })
const Id = z.int().min(0).max(0xffff_ffff)
const Name = z.string().max(255)
const Count = z.int().nonnegative()

/** What the sensor may say. It parses hostile packets: anything else is dropped and logged. */
const FromSensor = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready'), devices: z.array(z.string().max(64)).max(512) }),
  z.strictObject({
    type: z.literal('learned'),
    name: Name,
    entries: z.array(z.strictObject({ address: Address, ttlSeconds: z.number().nonnegative() })).max(8192),
    /** Address of the server that answered. */
    server: Address,
  }),
  z.strictObject({
    type: z.literal('strayed'),
    uid: Id.optional(),
    client: Endpoint.optional(),
    destination: Endpoint,
  }),
  z.strictObject({
    type: z.literal('sighting'),
    kind: z.enum(['refused', 'leak']),
    rule: z.string().min(1).max(64),
    reason: z.string().max(512),
    protocol: z.string().max(16),
    uid: Id.optional(),
    gid: Id.optional(),
    client: Endpoint.optional(),
    destination: Endpoint,
    serverName: Name.optional(),
    via: z.string().min(1).max(64),
    count: z.int().positive(),
    from: z.number(),
    to: z.number(),
    /** Several destinations are counted in one; `destination` is the unspecified address. */
    together: z.boolean(),
  }),
  z.strictObject({
    type: z.literal('state'),
    received: Count,
    kernelDrops: Count,
    unread: Count,
    blind: z.array(z.strictObject({ device: z.string().max(64), reason: z.string().max(4096) })).max(512),
  }),
  z.strictObject({ type: z.literal('group'), question: z.int(), inode: z.int().positive() }),
  z.strictObject({ type: z.literal('short') }),
  z.strictObject({ type: z.literal('beat') }),
])
type FromSensor = z.output<typeof FromSensor>
type Message<Type extends FromSensor['type']> = Omit<Extract<FromSensor, { type: Type }>, 'type'>

export type SensorSighting = Message<'sighting'>
export type SensorLearned = Message<'learned'>
export type SensorStray = Message<'strayed'>
export type SensorState = Message<'state'>

export interface SensorOptions {
  readonly account: Account
  readonly log: Log
  /** The rest of the start message (daemon/sensor/messages.ts), as it is when the sensor starts. */
  readonly start: () => Record<string, unknown>
  readonly learned: (learned: SensorLearned) => void
  readonly sighting: (sighting: SensorSighting) => void
  readonly strayed: (stray: SensorStray) => void
  /**
   * About once a second, when it changed, and whenever the sensor ends: `blind` then names `sensor` itself. Counts
   * begin at 0 with each start.
   */
  readonly state: (state: SensorState) => void
  /** Which group made that socket; undefined where nobody holds it. Rejects never. */
  readonly groupOf: (inode: number) => Promise<number | undefined>
  /** It has no capture left for an uplink: `renew()` gives it some. */
  readonly short: () => void
  readonly changed: (state: ChildState) => void
  readonly died: (how: string) => void
}

export interface SensorChild extends Child {
  /** Starts it again with what `start` gives now. Calls while it does so make one more. */
  renew(): Promise<void>
}

/** A sensor that is silent for so long sees nothing: it is killed and started again. */
const BEAT_MS = 10_000
const GRACE_MS = 2000
const NOT_RUNNING: SensorState = {
  received: 0,
  kernelDrops: 0,
  unread: 0,
  blind: [{ device: 'sensor', reason: 'the sensor does not run' }],
}

export function startSensor(options: SensorOptions): SensorChild {
  let stopped = false
  let again = false
  let renewing: Promise<void> | undefined
  let child = startOnce(options)

  const ask = (process: { send?: (message: object, done: () => void) => boolean }) =>
    process.send?.({ type: 'stop' }, () => {})
  const renewAll = async () => {
    do {
      again = false
      options.state(NOT_RUNNING)
      await child.stop(ask, GRACE_MS)
      if (stopped) return
      child = startOnce(options)
      await child.ready.catch(() => {})
    } while (again && !stopped)
  }
  return {
    state: () => child.state(),
    send: (message) => child.send(message),
    ready: child.ready,
    renew() {
      again = true
      renewing ??= renewAll().finally(() => {
        renewing = undefined
      })
      return renewing
    },
    async stop(request, graceMs) {
      stopped = true
      await child.stop(request, graceMs)
      await renewing
    },
  }
}

function startOnce(options: SensorOptions): Child {
  const { account, log } = options
  return supervise({
    name: 'sensor',
    log,
    beatMs: BEAT_MS,
    changed: options.changed,
    died: (how) => {
      options.state(NOT_RUNNING)
      options.died(how)
    },
    spawn: () =>
      fork(`${programRoot}/daemon/sensor/main.ts`, [], {
        execPath: 'setpriv',
        execArgv: [...withCaptureCapabilities, '--', process.execPath, ...nodeFlags],
        cwd: '/',
        env: childEnvironment,
        serialization: 'advanced',
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      }),
    started: (process) =>
      process.send({ ...options.start(), type: 'start', uid: account.uid, gid: account.gid }, () => {}),
    message: (raw, process) => {
      const parsed = FromSensor.safeParse(raw)
      if (!parsed.success) {
        log.error('the sensor sent a message of unknown shape; dropped')
        return false
      }
      const message = parsed.data
      if (message.type === 'learned') options.learned(message)
      if (message.type === 'sighting') options.sighting(message)
      if (message.type === 'strayed') options.strayed(message)
      if (message.type === 'state') options.state(message)
      if (message.type === 'short') options.short()
      if (message.type === 'group') {
        const { question, inode } = message
        void options.groupOf(inode).then((gid) => {
          if (process.connected)
            process.send({ type: 'group', question, ...(gid === undefined ? {} : { gid }) }, () => {})
        })
      }
      return message.type === 'ready'
    },
  })
}

/** Options of setpriv(1), before its `--`: still root, but for good without what it doesn't need (privileges.ts). */
const withCaptureCapabilities = [
  ...['--clear-groups', '--no-new-privs', '--inh-caps=-all', '--ambient-caps=-all'],
  '--bounding-set=-all,+net_raw,+net_admin,+setuid,+setgid',
]
