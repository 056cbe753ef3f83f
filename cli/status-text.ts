/** The status for a terminal; pure. */
import type { Health } from '../daemon/base/health.ts'
import type { SupervisorState } from '../daemon/supervisor/state-file.ts'
import { ago } from './ago.ts'
import { caRow } from './ca-health.ts'
import { chainRows } from './chain-rows.ts'
import type { AnchoringStatus, LiveState, RecorderStatus } from './live-state.ts'
import { servedRows } from './served-text.ts'
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
        ...servedRows(supervisor, now),
        ['keys', supervisor.vault],
        caRow(supervisor.ca),
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
    ...(recorder.anchoring ? [['anchoring', anchoringText(recorder.anchoring)]] : []),
    ...(recorder.chain?.chains ?? []).flatMap((chain) => chainRows(chain, now)),
  ]
}

function anchoringText(state: AnchoringStatus): string {
  const { preset, acknowledge, trial, lagSeconds, lagLeaves, holding, blocked } = state
  const lag =
    lagLeaves === '0' ? 'all anchored' : `${lagLeaves} records not anchored, the oldest for ${lagSeconds} s`
  const held = acknowledge === 'local' ? '' : `, answers wait for ${acknowledge}, holding ${holding}`
  const worth = trial ? ' (on the development chain: no independent evidence)' : ''
  return `${preset}${held}: ${lag}${blocked === undefined ? '' : ', NEW CALLS ARE REFUSED'}${worth}`
}

/** Before this start's first checkpoint, the one of an earlier start stands. */
const leavesText = (treeSize: string) =>
  treeSize === '0' ? 'none yet' : `${treeSize} leaves, signed before this start`
