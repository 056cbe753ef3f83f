/** What a running gateway says of itself: the supervisor's file, the recorder's socket, the CA's certificate. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Health } from '../daemon/base/health.ts'
import type { Config } from '../daemon/config/config.ts'
import { layout } from '../daemon/supervisor/layout.ts'
import { findState, type SupervisorState } from '../daemon/supervisor/state-file.ts'
import { absenceHealth, silenceHealth } from './health/absent.ts'
import { bySeverity } from './health/by-severity.ts'
import { supervisorHealth } from './health/supervisor.ts'
import { askRecorder, type RecorderStatus } from './recorder-status.ts'

export interface LiveState {
  /** Absent: no daemon runs with this configuration, or it can't be told. */
  readonly supervisor?: SupervisorState
  /** Absent: the recorder doesn't answer. */
  readonly recorder?: RecorderStatus
  /** When the CA's certificate ends, RFC 3339. Absent: it can't be read. */
  readonly authorityUntil?: string
  /** Whether one runs, as far as it can be told. */
  readonly running: 'yes' | 'no' | 'unknown'
  /** The rooms' own health states, and what follows from what is absent; the gravest first. */
  readonly health: readonly Health[]
}

export async function readLiveState(config: Config): Promise<LiveState> {
  const paths = layout(config)
  const found = await findState(paths.supervisorState)
  const absent = absenceHealth(found, paths.supervisorState, config.logDir)
  if (found.kind !== 'running') {
    return { running: found.kind === 'absent' || found.kind === 'ended' ? 'no' : 'unknown', health: absent }
  }
  const { state: supervisor } = found
  const [answer, authorityUntil] = await Promise.all([
    askRecorder(paths.statusSocket),
    endOf(paths.caCertificate),
  ])
  const recorder = typeof answer === 'string' ? undefined : answer
  return {
    supervisor,
    ...(recorder && { recorder }),
    ...(authorityUntil && { authorityUntil }),
    running: 'yes',
    health: bySeverity([
      ...absent,
      ...supervisorHealth(supervisor),
      ...(typeof answer === 'string' ? [silenceHealth(answer, supervisor)] : answer.health),
    ]),
  }
}

/** Of the certificate that clients trust, which every user may read. */
async function endOf(certificate: string): Promise<string | undefined> {
  try {
    return new X509Certificate(await readFile(certificate)).validToDate.toISOString()
  } catch {
    return undefined
  }
}
