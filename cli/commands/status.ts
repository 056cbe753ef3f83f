/** `agent-anchor status`: one screen, and an exit code that scripts can live with. */
import { loadConfig } from '../../daemon/config/config.ts'
import { print, printJson, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { type LiveState, readLiveState } from '../live-state.ts'
import { statusText } from '../status/text.ts'

/** 0 healthy, 3 not running, 4 degraded: anything above `info` degrades. */
export function statusCode({ supervisor, health }: LiveState): ExitCode {
  if (supervisor === undefined) return ExitCode.notRunning
  return health.some(({ severity }) => severity !== 'info') ? ExitCode.degraded : ExitCode.healthy
}

export const status: Register = (program, act) =>
  program
    .command('status')
    .description('what runs, what is enforced, what is recorded and anchored, what needs attention')
    .action(
      act(async ({ config: file, json }) => {
        const state = await readLiveState(loadConfig(file))
        if (json) printJson({ state: state.supervisor?.phase ?? 'not-running', ...state })
        else print(statusText(state, new Date()))
        return statusCode(state)
      }),
    )
