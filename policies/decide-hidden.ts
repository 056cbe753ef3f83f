/** What becomes of a connection that hides its name or what it speaks. */
import { type Decision, flowOf, refuse, type Sight, splice } from './decision.ts'
import type { RuleId } from './rule-ids.ts'
import { judge } from './traffic.ts'

type Setting = 'noName' | 'otherProtocol' | 'silent' | 'encryptedName'

const HIDDEN = {
  noName: { id: 'no-name', what: 'no server name was given' },
  otherProtocol: { id: 'other-protocol', what: 'it was neither TLS nor HTTP' },
  silent: { id: 'silent', what: 'nothing was sent' },
  encryptedName: { id: 'encrypted-name', what: 'the server name was encrypted (ECH)' },
  h2: { id: 'h2-prior-knowledge', what: 'it was HTTP/2 without TLS' },
} as const satisfies Record<string, { id: RuleId; what: string }>

/** What shows no name, by the address that it goes to. */
export function hidden(sight: Sight, setting: Setting, as: keyof typeof HIDDEN = setting): Decision {
  const { seen, rules } = sight
  const { id, what } = HIDDEN[as]
  const outcomes = rules.policy.proxy[setting]
  if (seen.destinationIsProvider) {
    if (outcomes.providerAddress === 'splice') return splice(sight, `${id}-provider-address`)
    return refuse(sight, `${id}-provider-address`, `${what} towards an address of an LLM provider`)
  }
  if (outcomes.otherAddress === 'splice') return splice(sight, id)
  // A rule that names the address opens it: that isn't the agent's word.
  const verdict = judge(rules.policy, rules.catalogue, flowOf(sight))
  if (verdict.allows && verdict.byAddress) return splice(sight, `traffic/${verdict.rule}`)
  return refuse(sight, id, what)
}
