/**
 * One supervised child: started, watched, started again with back-off until it is told to stop.
 */
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { backOff } from './back-off.ts'
import type { ChildName } from './child-name.ts'
import type { Log } from './log.ts'

/** Looks in one `beatMs`. */
const BEAT_LOOKS = 10

export interface ChildState {
  readonly name: ChildName
  readonly pid: number | undefined
  readonly state: 'starting' | 'running' | 'waiting' | 'stopped'
  readonly restarts: number
  /** How the last one ended, if one did. */
  readonly lastExit: string | undefined
}

export interface Child {
  state(): ChildState
  /** Sends an IPC message; false where no child is there to take it. */
  send(message: object): boolean
  /** Resolves once the first instance has said it is ready; rejects when it dies before. */
  readonly ready: Promise<void>
  /** Ends this instance by `request` and starts the next at once: for what a start alone takes in. */
  renew(request: (process: ChildProcess) => void): void
  /** Asks by `request`, waits, then kills. */
  stop(request: (process: ChildProcess) => void, graceMs: number): Promise<void>
}

export interface ChildOptions {
  readonly name: ChildName
  readonly log: Log
  readonly spawn: () => ChildProcess
  /** Called after each spawn, e.g. to send the start message. */
  readonly started?: (child: ChildProcess) => void
  /** Gets every IPC message; says true when the message means "ready". */
  readonly message: (message: unknown, child: ChildProcess) => boolean
  /** Children without IPC are ready once spawned. */
  readonly readyWhenSpawned?: boolean
  /** A child that is ready and then says nothing for so long is frozen or stuck: it is killed, and started again. */
  readonly beatMs?: number
  readonly changed: (state: ChildState) => void
  readonly died?: (how: string) => void
  /** It ended because it was asked to by {@link Child.renew}. */
  readonly renewed?: () => void
}

export function supervise(options: ChildOptions): Child {
  const { name, log } = options
  const delays = backOff()
  let child: ChildProcess | undefined
  let phase: ChildState['state'] = 'starting'
  let restarts = 0
  let lastExit: string | undefined
  let stopping = false
  let renewing: ChildProcess | undefined
  let timer: NodeJS.Timeout | undefined
  const { promise: ready, resolve: becomeReady, reject: neverReady } = Promise.withResolvers<void>()
  ready.catch(() => {})

  const state = (): ChildState => ({ name, pid: child?.pid, state: phase, restarts, lastExit })
  const enter = (next: ChildState['state']) => {
    phase = next
    options.changed(state())
  }

  const start = () => {
    const born = Date.now()
    const current = options.spawn()
    child = current
    const beat = watchBeat(options.beatMs, () => {
      log.error(`${name} has said nothing for ${options.beatMs} ms; it is killed`)
      current.kill('SIGKILL')
    })
    enter('starting')
    for (const [stream, level] of [
      [current.stdout, 'info'],
      [current.stderr, 'warn'],
    ] as const) {
      if (stream) createInterface({ input: stream }).on('line', (line) => log[level](line, { child: name }))
    }
    current.on('message', (message) => {
      beat.heard()
      if (options.message(message, current) && child === current) {
        beat.start()
        enter('running')
        becomeReady()
      }
    })
    let over = false
    const ended = (how: string) => {
      if (over) return
      over = true
      beat.stop()
      if (child === current) child = undefined
      lastExit = how
      if (stopping) return enter('stopped')
      if (renewing === current) {
        renewing = undefined
        options.renewed?.()
        return start()
      }
      log.error(`${name} ended (${how})`)
      neverReady(new Error(`${name} ended (${how}) before it was ready`))
      options.died?.(how)
      const wait = delays.next(Date.now() - born)
      enter('waiting')
      timer = setTimeout(() => {
        restarts += 1
        start()
      }, wait)
    }
    current.on('error', (error) => ended(error.message))
    current.on('exit', (code, signal) => ended(signal ?? `exit ${code}`))
    options.started?.(current)
    if (options.readyWhenSpawned && current.pid !== undefined) {
      enter('running')
      becomeReady()
    }
  }
  start()

  return {
    state,
    ready,
    send(message) {
      if (!child?.connected) return false
      child.send(message, () => {})
      return true
    },
    renew(request) {
      if (child === undefined || stopping) return
      renewing = child
      request(child)
    },
    async stop(request, graceMs) {
      stopping = true
      clearTimeout(timer)
      const last = child
      if (!last) return enter('stopped')
      await new Promise<void>((resolve) => {
        const kill = setTimeout(() => last.kill('SIGKILL'), graceMs)
        last.once('exit', () => {
          clearTimeout(kill)
          resolve()
        })
        if (last.exitCode !== null || last.signalCode !== null) resolve()
        request(last)
      })
    },
  }
}

/** Looks in a child's silence for the moment at which it is too long. */
function watchBeat(beatMs: number | undefined, silent: () => void) {
  const step = (beatMs ?? 0) / BEAT_LOOKS
  let missed = 0
  let looked = 0
  let timer: NodeJS.Timeout | undefined
  const look = () => {
    const now = performance.now()
    // While this process itself stood still, messages could not be read: that is no silence of the child's.
    if (now - looked < 2 * step) missed += 1
    looked = now
    if (missed < BEAT_LOOKS) return
    clearInterval(timer)
    silent()
  }
  return {
    start() {
      if (beatMs === undefined || timer) return
      looked = performance.now()
      timer = setInterval(look, step)
    },
    heard() {
      missed = 0
    },
    stop: () => clearInterval(timer),
  }
}
