/** What it means for health which of the gateway's processes run; pure. */
import type { Health } from '../../daemon/base/health.ts'
import { type ChildName, kindOf } from '../../daemon/supervisor/child-name.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'

/** The others: without one of them calls are refused, or no record is made. */
const WITHOUT_WHICH_IT_CAPTURES = new Set<ChildName>([
  'development-chain',
  'sensor',
  'log-server',
  'witness',
  'witness-client',
])

export function processHealth({ children }: SupervisorState): Health[] {
  return children
    .filter(({ state }) => state !== 'running')
    .map(({ name, state, lastExit }) => ({
      code: `process.${kindOf(name)}`,
      severity: WITHOUT_WHICH_IT_CAPTURES.has(name) ? 'warning' : 'error',
      title: `${name} is ${state}${lastExit === undefined ? '' : ` (${lastExit})`}`,
      remedy: 'It is started again by itself; if this stays, read the log (agent-anchor.log in logDir).',
    }))
}
