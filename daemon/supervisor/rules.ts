/** The rules in force: the policy with what it decides by, and what the configuration itself needs. */
import { freeze } from '../../policies/frozen.ts'
import { loadPolicy } from '../../policies/policy.ts'
import type { RulesInForce } from '../../policies/rules.ts'
import type { Config } from '../config/config.ts'

/** @throws PolicyError */
export function loadRules(
  config: Pick<Config, 'policiesDir' | 'policy' | 'chains' | 'ledger'>,
): RulesInForce {
  const rules = loadPolicy({ dir: config.policiesDir, name: config.policy })
  return { ...rules, ownHosts: freeze(ownHosts(config)) }
}

/** Hosts of the chains' RPC endpoints and of the witnesses: names, and addresses without brackets. */
function ownHosts({ chains, ledger }: Pick<Config, 'chains' | 'ledger'>): string[] {
  const witnesses = ledger.witnesses?.of.map(({ url }) => url) ?? []
  const urls = [...chains.flatMap((chain) => (chain.kind === 'rpc' ? chain.rpc : [])), ...witnesses]
  return [...new Set(urls.map((url) => new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')))].sort()
}
