/** Rows of the status: who called lately, how much, and what was refused; pure. */
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { ago } from '../ago.ts'
import type { RecorderStatus } from '../recorder-status.ts'
import { counted, grouped } from './numbers.ts'

export function captureRows(
  { traffic }: SupervisorState,
  recorder: RecorderStatus | undefined,
  now: Date,
): string[][] {
  const { refused, failed, connections } = traffic
  const since = [
    ...(failed > 0 ? [`${grouped(failed)} failed`] : []),
    ...(refused > 0 ? [`${grouped(refused)} refused`] : []),
  ]
  const open = connections > 0 ? `; ${counted(connections, 'connection')} open` : ''
  const worker = `${since.length === 0 ? 'none failed or refused' : since.join(', ')} since the start${open}`
  const captured = recorder?.captured
  if (captured === undefined) return [['capture', worker]]
  const { total, lately, agents, last, counting } = captured
  const recent = counting
    ? 'the last 24 h are still being counted'
    : `in 24 h ${counted(agents, 'agent')}, ${counted(lately, 'exchange')}`
  return [
    [
      'capture',
      `${recent}; ${grouped(total)} in all${last ? `; last ${ago(last.time, now)} ago, ${last.provider}` : ''}`,
    ],
    ['', worker],
  ]
}
