/** A child of the supervisor's that speaks with strangers: begins with its start message, ends with the supervisor. */
import type { z } from 'zod'
import { messageOf } from '../base/errors.ts'
import type { Listening } from './bounded-server.ts'

interface Process {
  readonly log: (line: string) => void
  /** To the supervisor. */
  readonly send: (message: object) => void
  readonly listening: (state: Listening) => void
}

interface Running {
  close(): Promise<void>
}

export function serveFrom<Start>(
  name: string,
  schema: z.ZodType<Start>,
  begin: (start: Start, process: Process) => Running,
): void {
  let running: Running | undefined
  const log = (line: string): void => void process.stderr.write(`${name}: ${line}\n`)
  const send = (message: object): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => {})
  }
  const fail = (error: unknown): void => {
    log(messageOf(error))
    process.exit(1)
  }
  const listening = (state: Listening): void => send({ type: 'listening', ...state })
  const start = (raw: unknown): void => {
    running ??= begin(schema.parse(raw), { log, send, listening })
    send({ type: 'ready' })
  }
  const stop = async (): Promise<void> => {
    await running?.close()
    process.exit(0)
  }
  process.umask(0o077)
  process.on('message', (raw) => {
    try {
      start(raw)
    } catch (error) {
      fail(error)
    }
  })
  process.on('disconnect', () => void stop().catch(fail))
  process.on('SIGTERM', () => void stop().catch(fail))
  // A terminal's Ctrl-C reaches every process of the group: the supervisor stops us, in its order.
  process.on('SIGINT', () => {})
}
