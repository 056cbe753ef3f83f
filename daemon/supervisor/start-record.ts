/** What the log says of a start: the policy in force, and whom it governs. */
import { literalNames } from '../../policies/catalogue.ts'
import type { Prepared } from './policy-keeper.ts'
import { programVersion } from './program.ts'

/** A list of names may be long, and a leaf is 4 KiB. */
const MOST = 500

export function startDetail({ rules, missing }: Prepared): Record<string, string | number> {
  const { policy, catalogue } = rules
  const { exempt, subjects } = policy.enforcement
  return {
    version: programVersion,
    policyName: policy.name,
    policy: policy.hash,
    names: literalNames(catalogue).length,
    subjects: subjects.users === 'everyone' ? 'everyone' : JSON.stringify(subjects).slice(0, MOST),
    exempt: [...exempt.users, ...exempt.groups, ...exempt.cgroups].join(' ').slice(0, MOST),
    missing: missing
      .map(({ kind, name }) => `${kind} ${name}`)
      .join(', ')
      .slice(0, MOST),
  }
}
