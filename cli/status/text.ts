/** The status on one screen: the verdict, a row for each room, and what needs attention; pure. */
import type { Health } from '../../daemon/base/health.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { ago } from '../ago.ts'
import type { LiveState } from '../live-state.ts'
import { type Look, PLAIN } from '../terminal.ts'
import { anchorRows } from './anchor-rows.ts'
import { captureRows } from './capture-rows.ts'
import { diskRows } from './disk-rows.ts'
import { enforcementRows } from './enforcement-rows.ts'
import { keysRows } from './keys-rows.ts'
import { ledgerRows } from './ledger-rows.ts'
import { counted } from './numbers.ts'
import { rowsText } from './rows-text.ts'
import { servedRows } from './served-rows.ts'
import { verdictOf, verdictText } from './verdict.ts'

const MARK: Record<Health['severity'], string> = { info: 'note', warning: 'WARNING', error: 'ERROR' }

export function statusText(state: LiveState, now: Date, look: Look = PLAIN): string {
  const { supervisor, recorder, health } = state
  const verdict = rowsText([[verdictText(state)]], look, () => verdictOf(state))
  const rows =
    supervisor === undefined
      ? []
      : [
          ...enforcementRows(supervisor, now),
          ...captureRows(supervisor, recorder, now),
          ...(recorder ? ledgerRows(recorder, now) : []),
          ...(recorder ? anchorRows(recorder, now) : []),
          ...servedRows(supervisor, now),
          ...keysRows(state, now),
          ...(recorder ? diskRows(recorder, now) : []),
          ...processRows(supervisor, now),
        ]
  const states = health.map((one) =>
    rowsText(
      [
        [MARK[one.severity], one.title],
        ['', one.remedy],
      ],
      look,
      () => one.severity,
    ),
  )
  return [
    verdict,
    ...(rows.length > 0 ? [rowsText(rows, look)] : []),
    ...(states.length > 0 ? [states.join('\n')] : []),
  ].join('\n\n')
}

function processRows({ version, pid, phase, since, children }: SupervisorState, now: Date): string[][] {
  const restarts = children.reduce((total, child) => total + child.restarts, 0)
  const names = children.map(({ name }) => name).join(', ')
  return [
    ['processes', `agent-anchor ${version} is ${phase} for ${ago(since, now)}, pid ${pid}`],
    ['', `${names}; ${counted(restarts, 'restart')}`],
  ]
}
