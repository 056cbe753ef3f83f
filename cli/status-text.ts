/** The status for a terminal; pure. */
import type { Health } from '../daemon/base/health.ts'
import type { SupervisorState } from '../daemon/supervisor/state-file.ts'
import type { LiveState, RecorderStatus } from './live-state.ts'
import { table } from './terminal.ts'

const MARK: Record<Health['severity'], string> = { info: 'note', warning: 'WARNING', error: 'ERROR' }

export function statusText(state: LiveState, now: Date): string {
  const { supervisor, recorder, health } = state
  const parts: string[] = []
  if (supervisor === undefined) parts.push('agent-anchor is not running')
  else {
    const { enforcement, policy, children } = supervisor
    const restarts = children.reduce((total, child) => total + child.restarts, 0)
    parts.push(
      `agent-anchor ${supervisor.version} is ${supervisor.phase} for ${ago(supervisor.since, now)}, pid ${supervisor.pid}`,
      table([
        ['capture', captureText(enforcement)],
        ['watch', watchText(supervisor)],
        ['policy', `${policy.name}, ${policy.hash.slice(0, 12)}`],
        ['processes', `${children.map(({ name }) => name).join(', ')}; ${restarts} restarts`],
        ...recorderRows(recorder, now),
        ...supervisor.served.map(({ name, listen, why }) => [
          'served',
          `${name} on ${listen}${why === undefined ? '' : `: NOT LISTENING (${why})`}`,
        ]),
        ['keys', supervisor.vault],
      ]),
    )
  }
  parts.push(
    health.length === 0
      ? 'healthy'
      : health
          .map(({ severity, title, remedy }) =>
            table([
              [MARK[severity], title],
              ['', remedy],
            ]),
          )
          .join('\n'),
  )
  return parts.join('\n\n')
}

function captureText(enforcement: { fence: boolean; redirect: boolean; addresses: number }): string {
  const stands = (yes: boolean) => (yes ? 'stands' : 'MISSING')
  return `redirect ${stands(enforcement.redirect)}, fence ${stands(enforcement.fence)}, ${enforcement.addresses} provider addresses`
}

function watchText({ enforcement, sensor }: SupervisorState): string {
  const rules = enforcement.watched ? 'rules watched' : 'rules NOT WATCHED'
  const blind = sensor.blind.length
  const eyes =
    blind > 0 ? `sensor BLIND in ${blind} place${blind === 1 ? '' : 's'}` : 'sensor sees refusals and uplinks'
  const drops = sensor.drops > 0 ? `, ${sensor.drops} packets missed` : ''
  return `${rules}, ${eyes}${enforcement.uplinks.length > 0 ? ` (${enforcement.uplinks.join(', ')})` : ''}${drops}`
}

function recorderRows(recorder: RecorderStatus | undefined, now: Date): string[][] {
  if (recorder === undefined) return []
  const signed = recorder.checkpointTime
  return [
    ['records', `${recorder.records} in the log, ${recorder.pending} on their way`],
    [
      'checkpoint',
      signed === undefined
        ? leavesText(recorder.treeSize)
        : `${recorder.treeSize} leaves, signed ${ago(signed, now)} ago`,
    ],
    ...(recorder.chain?.chains ?? []).map(({ name, anchored, label }) => [
      'anchor',
      `${name}: ${anchored === undefined ? 'none yet' : `${anchored.size} leaves in block ${anchored.block}, ${ago(anchored.time, now)} ago`}${label === undefined ? '' : ` (${label})`}`,
    ]),
  ]
}

/** Before this start's first checkpoint, the one of an earlier start stands. */
const leavesText = (treeSize: string) =>
  treeSize === '0' ? 'none yet' : `${treeSize} leaves, signed before this start`

/** How long ago, in the largest sensible unit: 12 s, 3 min, 5 h, 2 d. */
export function ago(time: string, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(time)) / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}
