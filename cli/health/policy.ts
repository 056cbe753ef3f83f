/** What it means for health how the policy was taken; pure. */
import type { Health } from '../../daemon/base/health.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'

export function policyHealth({ policy, missingAccounts }: SupervisorState): Health[] {
  const found: Health[] = []
  if (policy.rejected !== undefined) {
    found.push({
      code: 'policy.rejected',
      severity: 'error',
      title: `The policy's files were not taken, and it is as it was before: ${policy.rejected.split('\n', 1)[0]}`,
      remedy: 'See agent-anchor policy validate; put the files right, then agent-anchor policy reload.',
    })
  }
  if (missingAccounts.length > 0) {
    found.push({
      code: 'policy.missing-accounts',
      severity: 'warning',
      title: `The policy names who does not exist here: ${missingAccounts.join(', ')}`,
      remedy: 'Make the account and restart the gateway, or take it out of the policy.',
    })
  }
  return found
}
