/**
 * Which questions are asked at all. A question is a message to whoever answers it, so under `traffic.default: block`
 * only names that somebody may reach are asked for; what is refused is answered as if it didn't exist, since clients
 * take that as final, where after REFUSED they try every server and each again.
 */
import { permittedDomains } from '../../policies/catalogue.ts'
import { parseGlob } from '../../policies/host-glob.ts'
import { normaliseName } from '../../policies/host-name.ts'
import { isResolverName } from '../../policies/resolvers.ts'
import type { RulesInForce } from '../../policies/rules.ts'
import { mayBeReached } from '../../policies/traffic.ts'
import { Carrier } from './carrier.ts'
import type { GovernedNames } from './governed-names.ts'

/** After the policy's name and `/`; they stand in records. */
export type NameRule = 'dns-resolver' | 'dns-traffic' | 'dns-long-name'

export interface NameRefusal {
  readonly rule: NameRule
  readonly reason: string
  /** The client only asks whether it may: no attempt, no record. */
  readonly quiet?: true
}

/**
 * By these names clients ask the network whether to use encrypted resolvers: Firefox's canary domain
 * (support.mozilla.org, "Canary domain"), and discovery of designated resolvers (RFC 9462).
 */
const CANARIES = ['use-application-dns.net', 'resolver.arpa']

/** NS, SOA, DS, DNSKEY: what a resolver on this machine needs of the domains above a name, to walk and to validate. */
const DELEGATION_TYPES = new Set([2, 6, 43, 48])
/** `_443._https.api.example.com` (RFC 9460 section 2.3), `_imaps._tcp` (RFC 2782): not as long as to carry much. */
const SERVICE_LABELS = /^(?:_[a-z0-9-]{1,14}\.){1,3}(?=.)/

export class NamePolicy {
  readonly #rules: RulesInForce
  readonly #governed: GovernedNames
  readonly #carrier: Carrier
  readonly #above: ReadonlySet<string>

  constructor(rules: RulesInForce, governed: GovernedNames, carrier = new Carrier()) {
    this.#rules = rules
    this.#governed = governed
    this.#carrier = carrier
    this.#above = domainsAbove(rules)
  }

  /** @param name lower case, as `readName` gives it */
  refuse(name: string, type: number, client: string): NameRefusal | undefined {
    const { policy, resolvers } = this.#rules
    const governed = this.#governed.of(name)
    if (policy.proxy.resolvers === 'refuse' && governed === undefined) {
      if (CANARIES.some((canary) => name === canary || name.endsWith(`.${canary}`))) {
        return { rule: 'dns-resolver', reason: 'encrypted resolvers are not to be used', quiet: true }
      }
      if (isResolverName(resolvers, name)) {
        return { rule: 'dns-resolver', reason: `${name} is a public resolver` }
      }
    }
    if (!this.#reachable(governed ?? name, type)) {
      return { rule: 'dns-traffic', reason: `no traffic rule lets anybody reach ${name}` }
    }
    if (policy.proxy.longNames === 'pass' || governed !== undefined) return undefined
    const carrying = this.#carrier.refuse(client, name)
    return carrying === undefined ? undefined : { rule: 'dns-long-name', reason: carrying }
  }

  #reachable(name: string, type: number): boolean {
    const { policy, catalogue, ownHosts } = this.#rules
    if (DELEGATION_TYPES.has(type) && this.#above.has(name)) return true
    const host = normaliseName(name.replace(SERVICE_LABELS, ''))
    if (host === undefined) return policy.traffic.default === 'allow'
    return ownHosts.includes(host) || mayBeReached(policy, catalogue, host)
  }
}

/** Every domain at or above those in which a name may be reached. */
function domainsAbove({ policy, catalogue, ownHosts }: RulesInForce): Set<string> {
  const allowed = policy.traffic.rules.flatMap(({ action, hosts }) =>
    action === 'block' ? [] : (hosts ?? []),
  )
  const suffixes = allowed.map((host) => parseGlob(host, 'any')).filter((glob) => typeof glob !== 'string')
  const found = new Set(['.'])
  for (const domain of [
    ...permittedDomains(catalogue),
    ...suffixes.map(({ suffix }) => suffix),
    ...ownHosts,
  ]) {
    const labels = domain.split('.')
    for (const i of labels.keys()) found.add(labels.slice(i).join('.'))
  }
  return found
}
