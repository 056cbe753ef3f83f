/** Evidence of a request that was not forwarded. */
import type { RuleId } from '../../../policies/rule-ids.ts'
import type { ProxyError, ProxyErrorCode } from '../proxy-error.ts'
import { type Governed, recordRefusal, type Shared } from './facts.ts'

/** Refusals that the policy has a setting of its own for. */
const RULES: Partial<Record<ProxyErrorCode, RuleId>> = {
  misdirected_request: 'name-mismatch',
  unlisted_call: 'unlisted-call',
}

export function recordRefusedRequest(shared: Shared, governed: Governed, error: ProxyError): void {
  const own = RULES[error.code]
  const rule = own === undefined ? governed.rule : `${shared.policy.name}/${own}`
  recordRefusal(shared, governed, rule, `${error.code}: ${error.message}`)
}
