/** What a running gateway says of itself: the supervisor's file and the recorder's socket. */
import type { Health } from '../daemon/base/health.ts'
import type { Config } from '../daemon/config/config.ts'
import { layout } from '../daemon/supervisor/layout.ts'
import { readState, type SupervisorState } from '../daemon/supervisor/state-file.ts'
import { supervisorHealth } from './health/supervisor.ts'
import { askRecorder, type RecorderStatus } from './recorder-status.ts'

export interface LiveState {
  /** Absent: no daemon runs with this configuration. */
  readonly supervisor?: SupervisorState
  /** Absent: the recorder doesn't answer. */
  readonly recorder?: RecorderStatus
  /** The rooms' own health states, and what follows from what is absent. */
  readonly health: readonly Health[]
}

export async function readLiveState(config: Config): Promise<LiveState> {
  const paths = layout(config)
  const supervisor = await readState(paths.supervisorState)
  if (supervisor === undefined) return { health: [NOT_RUNNING] }
  const recorder = await askRecorder(paths.statusSocket)
  return {
    supervisor,
    ...(recorder === undefined ? {} : { recorder }),
    health: [...supervisorHealth(supervisor), ...(recorder?.health ?? [RECORDER_SILENT])],
  }
}

const NOT_RUNNING: Health = {
  code: 'daemon.not-running',
  severity: 'error',
  title: 'The gateway does not run: calls to LLM providers are refused as long as its fence stands',
  remedy: 'Start it: systemctl start agent-anchor, or `agent-anchor daemon` where there is no systemd.',
}

const RECORDER_SILENT: Health = {
  code: 'recorder.silent',
  severity: 'error',
  title: 'The recorder does not answer: governed calls are refused with 503',
  remedy: 'It is started again by itself; if this stays, read the log (agent-anchor.log in logDir).',
}
