/** What is seen of a connection, what is decided of it, and how a decision is written. */
import type { Provider } from './catalogue-schema.ts'
import type { Policy } from './policy.ts'
import type { RuleId } from './rule-ids.ts'
import type { RulesInForce } from './rules.ts'

export interface Seen {
  /** `silent`: no byte came before the sniffing time ended. `h2-preface`: HTTP/2 without TLS. `socks`: version 4 or 5. */
  readonly protocol: 'tls' | 'http' | 'h2-preface' | 'socks' | 'other' | 'silent'
  /** SNI, or Host without its port; whatever the wire said, or absent. */
  readonly name?: string
  /** An encrypted_client_hello extension of type outer was there. */
  readonly ech?: boolean
  /** The original destination is a known address of a provider's. */
  readonly destinationIsProvider: boolean
  /** The original destination. */
  readonly destination: { readonly address: string; readonly port: number }
  /** And it is an address of this machine. */
  readonly destinationIsOwn?: boolean
  /** Who opened the socket; absent where that isn't known. */
  readonly uid?: number
  /** Method and target of a plain HTTP request, as sent. */
  readonly method?: string
  readonly target?: string
  /** The host that CONNECT or SOCKS asks for, without its port. */
  readonly tunnelTarget?: string
  /** What SOCKS asks for that isn't a connection, and so can't be looked into. */
  readonly tunnelBlind?: 'BIND' | 'UDP ASSOCIATE'
  /**
   * These are the first bytes within a tunnel that was let through as `inspect`. `destination` is still that of the
   * connection; `destinationIsProvider` holds also where the tunnel leads to an address of a provider's.
   */
  readonly inTunnel?: boolean
}

export interface Decision {
  /** `inspect`: pass on, and decide again (`inTunnel`) by what shows inside. */
  readonly action: 'intercept' | 'splice' | 'refuse' | 'inspect'
  /** `<policy>/<rule>`, stable: records and users name it. */
  readonly rule: string
  /** On `intercept`; and where a governed name was the reason. */
  readonly provider?: Provider
  /** The name, lower case, without a trailing dot; the destination's address for an unlisted call or a local LLM without one. */
  readonly name?: string
  /** Why, on a refusal, in words for the record and the log. */
  readonly reason?: string
  /** What to say of it in the record: `unlisted-host`, `tunnelled-provider`, `local`, `BIND`. */
  readonly flags?: readonly string[]
  /** It was let through for its name alone: only to one of the name's own addresses, never to what the agent chose. */
  readonly pinned?: true
}

/** A sight with its names read. */
export interface Sight {
  readonly rules: RulesInForce
  readonly seen: Seen
  readonly name: string | undefined
  readonly provider: Provider | undefined
}

type Rule = RuleId | `traffic/${string}`

export const rule = (policy: Policy, id: Rule): string => `${policy.name}/${id}`
export const splice = ({ rules }: Sight, id: Rule): Decision => ({
  action: 'splice',
  rule: rule(rules.policy, id),
})
export const refuse = ({ rules }: Sight, id: Rule, reason: string): Decision => ({
  action: 'refuse',
  rule: rule(rules.policy, id),
  reason,
})
export const intercept = ({ rules }: Sight, id: Rule, provider: Provider, name: string): Decision => ({
  action: 'intercept',
  rule: rule(rules.policy, id),
  provider,
  name,
})

export const uidOf = ({ uid }: Seen) => (uid === undefined ? {} : { uid })

/** What a traffic rule is asked about. */
export function flowOf({ seen, name }: Sight, decision?: Decision) {
  const shown = decision?.name ?? name
  const id = decision?.provider?.id
  return {
    ...seen.destination,
    ...uidOf(seen),
    ...(shown !== undefined && { name: shown }),
    ...(id !== undefined && { provider: id }),
    ...(decision?.action === 'intercept' && { read: true }),
  }
}
