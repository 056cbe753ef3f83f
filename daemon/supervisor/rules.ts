/** The policy and the catalogue in force. */
import type { Catalogue } from '../../policies/catalogue.ts'
import { loadPolicy, type Policy } from '../../policies/policy.ts'
import type { Config } from '../config/config.ts'

export function loadRules(config: Pick<Config, 'policiesDir' | 'policy'>): {
  policy: Policy
  catalogue: Catalogue
} {
  return loadPolicy({ dir: config.policiesDir, name: config.policy })
}
