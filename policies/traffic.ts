/**
 * The `traffic` rules of a policy: what may pass of what would be let through. The first rule that matches decides.
 *
 * Threat model: a name was written by the agent, so an allow by name is worth only what the proxy makes of it (see
 * `Decision.pinned`); address, port and user come from the kernel. Who can't be told is nobody whom a rule allows and
 * anybody whom a rule blocks.
 */
import { type Catalogue, matchHost } from './catalogue.ts'
import { ofExchange } from './exchange-conditions.ts'
import { compileHosts, type HostMatcher } from './host-matcher.ts'
import { compileNetworks, type NetworkMatcher } from './network.ts'
import { onceEach } from './once-each.ts'
import type { Policy } from './policy.ts'

export interface Flow {
  /** Lower case, without a trailing dot; absent where there was none. */
  readonly name?: string
  /** Id of the provider that governs the name. */
  readonly provider?: string
  readonly address: string
  readonly port: number
  readonly uid?: number
  /** Its requests will be read, and rules be asked about each of them (exchange-rules.ts). */
  readonly read?: boolean
}

interface CompiledRule {
  readonly name: string
  readonly allows: boolean
  /** It asks about requests too: of a connection alone it can't be told whether it matches. */
  readonly ofExchange: boolean
  readonly providers?: ReadonlySet<string>
  readonly hosts?: HostMatcher<true>
  readonly addresses?: NetworkMatcher
  readonly ports?: ReadonlySet<number>
  readonly uids?: ReadonlySet<number>
}

export interface Verdict {
  readonly allows: boolean
  /** Name of the rule that decided; absent: the default. */
  readonly rule?: string
  /** The rule asks for a name or a provider: the agent's word. */
  readonly byName: boolean
  /** The rule asks for addresses: the kernel's word. */
  readonly byAddress: boolean
}

const rulesOf = (policy: Policy, catalogue: Catalogue): readonly CompiledRule[] => compiled(policy)(catalogue)

const compiled = onceEach((policy: Policy) =>
  onceEach((catalogue: Catalogue) => {
    const every = catalogue.providers.map(({ id }) => id)
    return policy.traffic.rules.map(
      (rule): CompiledRule => ({
        name: rule.name,
        // What it redacts goes on.
        allows: rule.action !== 'block',
        ofExchange: ofExchange(rule),
        ...(rule.providers && {
          providers: new Set(rule.providers.flatMap((id) => (id === '*' ? every : [id]))),
        }),
        ...(rule.hosts && { hosts: compileHosts(rule.hosts.map((host) => [host, true] as const)) }),
        ...(rule.addresses && { addresses: compileNetworks(rule.addresses) }),
        ...(rule.ports && { ports: new Set(rule.ports) }),
        ...(rule.users && { uids: new Set(rule.users.filter((user) => typeof user === 'number')) }),
      }),
    )
  }),
)

export function judge(policy: Policy, catalogue: Catalogue, flow: Flow): Verdict {
  for (const rule of rulesOf(policy, catalogue)) {
    if (!matches(rule, flow)) continue
    // Let through to be read where a request might be allowed; what is passed on unread is none of such a rule's.
    if (rule.ofExchange && !(flow.read && rule.allows)) continue
    const byName = rule.hosts !== undefined || rule.providers !== undefined
    return { allows: rule.allows, rule: rule.name, byName, byAddress: rule.addresses !== undefined }
  }
  return { allows: policy.traffic.default === 'allow', byName: false, byAddress: false }
}

function matches(rule: CompiledRule, { name, provider, address, port, uid }: Flow): boolean {
  if (rule.ports && !rule.ports.has(port)) return false
  if (rule.uids && !(uid === undefined ? !rule.allows : rule.uids.has(uid))) return false
  if (rule.providers && (provider === undefined || !rule.providers.has(provider))) return false
  if (rule.hosts && (name === undefined || rule.hosts.find(name) === undefined)) return false
  return !rule.addresses || rule.addresses.has(address)
}

/**
 * May anybody reach this name, at whatever address and port? For the DNS guard, which must not answer for names that
 * no connection could be made to: a question is a message to who answers it.
 */
export function mayBeReached(policy: Policy, catalogue: Catalogue, name: string): boolean {
  const provider = matchHost(catalogue, name)?.id
  for (const rule of rulesOf(policy, catalogue)) {
    if (rule.providers && (provider === undefined || !rule.providers.has(provider))) continue
    if (rule.hosts && rule.hosts.find(name) === undefined) continue
    const named = rule.providers !== undefined || rule.hosts !== undefined
    const open =
      rule.addresses !== undefined || rule.ports !== undefined || rule.uids !== undefined || rule.ofExchange
    // An allow by address alone says nothing of names: nobody needs to ask for them.
    if (rule.allows && (named || rule.addresses === undefined)) return true
    if (!rule.allows && !open) return false
  }
  return policy.traffic.default === 'allow'
}
