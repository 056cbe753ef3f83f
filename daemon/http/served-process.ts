/** A child of the supervisor's that serves strangers: begins with its start message, ends with the supervisor. */
import type { z } from 'zod'
import { messageOf } from '../base/errors.ts'
import type { BoundedServer, Listening } from './bounded-server.ts'

interface Process {
  readonly log: (line: string) => void
  readonly listening: (state: Listening) => void
}

export function serveFrom<Start>(
  name: string,
  schema: z.ZodType<Start>,
  begin: (start: Start, process: Process) => BoundedServer | Promise<BoundedServer>,
): void {
  let server: Promise<BoundedServer> | undefined
  const log = (line: string): void => void process.stderr.write(`${name}: ${line}\n`)
  const send = (message: object): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => {})
  }
  const fail = (error: unknown): void => {
    log(messageOf(error))
    process.exit(1)
  }
  const listening = (state: Listening): void => send({ type: 'listening', ...state })
  const start = async (raw: unknown): Promise<void> => {
    server ??= Promise.resolve(begin(schema.parse(raw), { log, listening }))
    await server
    send({ type: 'ready' })
  }
  const stop = async (): Promise<void> => {
    await (await server)?.close()
    process.exit(0)
  }
  process.umask(0o077)
  process.on('message', (raw) => void start(raw).catch(fail))
  process.on('disconnect', () => void stop().catch(fail))
  process.on('SIGTERM', () => void stop().catch(fail))
  // A terminal's Ctrl-C reaches every process of the group: the supervisor stops us, in its order.
  process.on('SIGINT', () => {})
}
