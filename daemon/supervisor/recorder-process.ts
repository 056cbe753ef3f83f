/** The recorder: one process under its own account; keys reach it over the IPC channel, never by file or variable. */
import { fork } from 'node:child_process'
import { z } from 'zod'
import { Recorded } from '../recorder/messages.ts'
import type { Account } from './accounts.ts'
import { type Child, type ChildState, supervise } from './child.ts'
import type { Log } from './log.ts'
import { childEnvironment, programRoot } from './program.ts'
import { unprivileged } from './unprivileged.ts'

const FromRecorder = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  z.object({ type: z.literal('state') }).loose(),
  Recorded,
])

export function startRecorder(options: {
  readonly account: Account
  readonly log: Log
  readonly start: () => Record<string, unknown>
  readonly changed: (state: ChildState) => void
  readonly died: (how: string) => void
  readonly renewed: () => void
  /** Evidence of these ids is in the log. */
  readonly recorded: (ids: readonly string[]) => void
}): Child {
  return supervise({
    name: 'recorder',
    log: options.log,
    changed: options.changed,
    died: options.died,
    renewed: options.renewed,
    spawn: () =>
      fork(`${programRoot}/daemon/recorder/main.ts`, [], {
        ...unprivileged(options.account),
        cwd: '/',
        env: childEnvironment,
        serialization: 'advanced',
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      }),
    started: (child) => child.send({ type: 'start', ...options.start() }, () => {}),
    message: (raw) => {
      const parsed = FromRecorder.safeParse(raw)
      if (!parsed.success) options.log.error('the recorder sent a message of unknown shape; dropped')
      if (parsed.data?.type === 'recorded') options.recorded(parsed.data.ids)
      return parsed.data?.type === 'ready'
    },
  })
}
