/** What the supervisor's own state means for health; pure. */
import type { Health } from '../../daemon/base/health.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { authorityHealth } from './authority.ts'
import { enforcementHealth } from './enforcement.ts'
import { evidenceHealth } from './evidence.ts'
import { policyHealth } from './policy.ts'
import { processHealth } from './processes.ts'
import { servedHealth, witnessHealth } from './served.ts'

export function supervisorHealth(state: SupervisorState, now = new Date()): Health[] {
  return [
    ...phaseHealth(state),
    ...evidenceHealth(state),
    ...enforcementHealth(state),
    ...policyHealth(state),
    ...authorityHealth(state.ca, now),
    ...servedHealth(state.served),
    ...witnessHealth(state.cosigning),
    ...processHealth(state),
  ]
}

const phaseHealth = ({ phase }: SupervisorState): Health[] =>
  phase === 'running'
    ? []
    : [
        {
          code: 'daemon.phase',
          severity: 'warning',
          title: `The gateway is ${phase}`,
          remedy: 'Wait a moment.',
        },
      ]
