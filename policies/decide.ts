/**
 * What becomes of a connection, from what its first bytes show. Pure: the same policy, catalogue and sight
 * always give the same decision, and each names its rule, which stands in the record.
 *
 * Threat model: everything in `Seen` but `destinationIsProvider` was written by the agent. Leaving the name out,
 * hiding it, speaking something else or nothing at all towards a provider's address is a way round, so that is
 * refused; towards other addresses it is the rest of the machine's traffic and isn't touched.
 */
import { type Catalogue, matchHost } from './catalogue.ts'
import type { Provider } from './catalogue-schema.ts'
import { normaliseName } from './host-name.ts'
import type { Policy } from './policy.ts'

export interface Seen {
  /** `silent`: no byte came before the sniffing time ended. */
  readonly protocol: 'tls' | 'http' | 'other' | 'silent'
  /** SNI, or Host without its port; whatever the wire said, or absent. */
  readonly name?: string
  /** An encrypted_client_hello extension of type outer was there. */
  readonly ech?: boolean
  /** The original destination is a known address of a provider's. */
  readonly destinationIsProvider: boolean
}

export interface Decision {
  readonly action: 'intercept' | 'splice' | 'refuse'
  /** `<policy>/<rule>`, stable: records and users name it. */
  readonly rule: string
  readonly provider?: Provider
  /** The name, lower case, without a trailing dot; absent where there was none. */
  readonly name?: string
  /** Why, on a refusal, in words for the record and the log. */
  readonly reason?: string
}

type Setting = 'noName' | 'otherProtocol' | 'silent' | 'encryptedName'

const RULES: Readonly<Record<Setting, { readonly id: string; readonly what: string }>> = {
  noName: { id: 'no-name', what: 'no server name was given' },
  otherProtocol: { id: 'other-protocol', what: 'it was neither TLS nor HTTP' },
  silent: { id: 'silent', what: 'nothing was sent' },
  encryptedName: { id: 'encrypted-name', what: 'the server name was encrypted (ECH)' },
}

export function decide(policy: Policy, catalogue: Catalogue, seen: Seen): Decision {
  if (seen.protocol === 'other') return byAddress(policy, 'otherProtocol', seen)
  if (seen.protocol === 'silent') return byAddress(policy, 'silent', seen)
  const name = seen.name === undefined ? undefined : normaliseName(seen.name)
  if (name === undefined) return byAddress(policy, 'noName', seen)
  const provider = matchHost(catalogue, name)
  // With ECH too: we end the TLS connection without it, and the client falls back or fails (RFC 9849, 6.1.6).
  if (provider) return { action: 'intercept', rule: `${policy.name}/governed-name`, provider, name }
  // Browsers send a dummy of this extension everywhere, so only towards providers does it mean anything.
  if (seen.ech) return { ...byAddress(policy, 'encryptedName', seen), name }
  const rule = `${policy.name}/other-name`
  if (policy.proxy.unknownName === 'splice') return { action: 'splice', rule, name }
  return { action: 'refuse', rule, name, reason: `${name} is in no catalogue` }
}

function byAddress(policy: Policy, setting: Setting, seen: Seen): Decision {
  const { id, what } = RULES[setting]
  const address = seen.destinationIsProvider ? 'providerAddress' : 'otherAddress'
  const rule = `${policy.name}/${id}${seen.destinationIsProvider ? '-provider-address' : ''}`
  if (policy.proxy[setting][address] === 'splice') return { action: 'splice', rule }
  return {
    action: 'refuse',
    rule,
    reason: seen.destinationIsProvider ? `${what} towards an address of an LLM provider` : what,
  }
}
