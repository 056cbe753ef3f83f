/** `agent-anchor metrics`: what the gateway counts, as Prometheus reads it. */
import { residentMemory } from '../../daemon/admin/memory.ts'
import { metricsText } from '../../daemon/admin/metrics.ts'
import { loadConfig } from '../../daemon/config/config.ts'
import { print, type Register } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { readLiveState } from '../live-state.ts'

export const metrics: Register = (program, act) =>
  program
    .command('metrics')
    .description('what the gateway counts, in the text format of Prometheus')
    .action(
      act(async ({ config: file }) => {
        const { supervisor, recorder, health } = await readLiveState(loadConfig(file))
        const memory = await residentMemory(supervisor)
        print((await metricsText({ supervisor, recorder, health, memory })).trimEnd())
        return supervisor === undefined ? ExitCode.notRunning : ExitCode.healthy
      }),
    )
