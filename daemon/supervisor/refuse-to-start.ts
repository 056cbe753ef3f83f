/** What must hold before anything is touched. */
import { readState } from './state-file.ts'
import { SupervisorError } from './supervisor-error.ts'

/** @throws SupervisorError PLATFORM, NOT_ROOT, ALREADY_RUNNING */
export async function refuseToStart(stateFile: string): Promise<void> {
  if (process.platform !== 'linux') {
    throw new SupervisorError(
      'PLATFORM',
      `${process.platform} is not supported yet`,
      'Run the gateway on Linux.',
    )
  }
  if (process.getuid?.() !== 0) {
    throw new SupervisorError(
      'NOT_ROOT',
      'the daemon must start as root',
      'Start it with sudo or as a service.',
    )
  }
  const running = await readState(stateFile)
  if (running) {
    throw new SupervisorError(
      'ALREADY_RUNNING',
      `a daemon runs already with this runtimeDir (pid ${running.pid})`,
      'Stop it first, or give this one a runtimeDir and stateDir of its own.',
    )
  }
}
