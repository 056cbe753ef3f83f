/**
 * What becomes of a connection, from what its first bytes show. Pure: the same rules and sight always give the same
 * decision, and each names its rule, which stands in the record (docs/policies.md lists them).
 *
 * Threat model: everything in `Seen` but `destination`, `destinationIsProvider` and `uid` was written by the agent.
 * Leaving the name out, hiding it, speaking something else or nothing at all towards a provider's address is a way
 * round; elsewhere it is the rest of the machine's traffic, unless the policy says otherwise. Where several settings
 * apply, the one that refuses decides. An allowed name says nothing about the address that the agent pairs it with:
 * see `Decision.pinned`.
 */

import { callShape, unlistedProvider } from './call-shape.ts'
import { matchHost } from './catalogue.ts'
import { type Provider, UNLISTED } from './catalogue-schema.ts'
import { hidden } from './decide-hidden.ts'
import { isTunnel, ofTunnel, tunnelled } from './decide-tunnel.ts'
import {
  type Decision,
  flowOf,
  intercept,
  refuse,
  rule,
  type Seen,
  type Sight,
  splice,
  uidOf,
} from './decision.ts'
import { compileHosts } from './host-matcher.ts'
import { normaliseName } from './host-name.ts'
import { onceEach } from './once-each.ts'
import { isOwnAddress, isOwnName } from './own-hosts.ts'
import type { Policy } from './policy.ts'
import { isResolverAddress, isResolverName } from './resolvers.ts'
import type { RulesInForce } from './rules.ts'
import { judge } from './traffic.ts'

/** RFC 7858: DNS over TLS. */
const DOT_PORT = 853

export function decide(rules: RulesInForce, seen: Seen): Decision {
  const name = seen.name === undefined ? undefined : normaliseName(seen.name)
  const provider = name === undefined ? undefined : matchHost(rules.catalogue, name)
  const sight = { rules, seen, name, provider }
  const local = ofLocalService(sight)
  if (local) return local
  const decision = bySight(sight)
  return decision.action === 'refuse' ? decision : byTraffic(sight, decision)
}

function bySight(sight: Sight): Decision {
  const { seen, rules } = sight
  const tunnel = isTunnel(seen) ? ofTunnel(sight) : undefined
  if (tunnel) return tunnel
  if (sight.provider && seen.protocol !== 'silent' && seen.protocol !== 'other') {
    return governed(sight, sight.provider)
  }
  if (isOwnAddress(rules.ownHosts, seen.destination.address)) return splice(sight, 'own-host')
  const resolver = ofResolver(sight)
  if (resolver) return resolver
  switch (seen.protocol) {
    case 'socks':
    case 'other':
      return hidden(sight, 'otherProtocol')
    case 'silent':
      return hidden(sight, 'silent')
    case 'h2-preface':
      return {
        ...hidden(sight, 'otherProtocol', 'h2'),
        ...(sight.name !== undefined && { name: sight.name }),
      }
    case 'tls':
    case 'http':
      return sight.name === undefined ? nameless(sight) : foreign(sight, sight.name)
  }
}

/** A name that the catalogue has. With ECH too: we end TLS without it, and the client falls back or fails (RFC 9849, 6.1.6). */
function governed(sight: Sight, provider: Provider): Decision {
  const { policy } = sight.rules
  const { protocol, inTunnel } = sight.seen
  const facts = { provider, ...(sight.name !== undefined && { name: sight.name }) }
  if (inTunnel) return tunnelled(sight, provider, sight.name)
  if (protocol === 'h2-preface') {
    if (policy.proxy.otherProtocol.providerAddress === 'splice') {
      return { ...splice(sight, 'h2-governed-name'), ...facts }
    }
    return { ...refuse(sight, 'h2-governed-name', 'a governed name in HTTP/2 without TLS'), ...facts }
  }
  if (protocol === 'http' && policy.proxy.plainHttp === 'refuse') {
    return { ...refuse(sight, 'plain-http', `${sight.name} without TLS`), ...facts }
  }
  return { action: 'intercept', rule: rule(policy, 'governed-name'), ...facts }
}

/** TLS or HTTP without a name. A call to an address by number is told by its shape. */
function nameless(sight: Sight): Decision {
  const decision = hidden(sight, 'noName')
  if (decision.action === 'refuse') return decision
  return ofUnlistedCall(sight) ?? decision
}

/** A name that the catalogue lacks. */
function foreign(sight: Sight, name: string): Decision {
  const { seen, rules } = sight
  const { unknownName } = rules.policy.proxy
  // Browsers send a dummy of this extension everywhere, so only towards providers does it mean anything.
  const encrypted = seen.ech === true && seen.protocol === 'tls' ? hidden(sight, 'encryptedName') : undefined
  if (encrypted?.action === 'refuse') return { ...encrypted, name }
  if (isOwnName(rules.ownHosts, name) && !seen.inTunnel)
    return { ...splice(sight, 'own-host'), name, pinned: true }
  if (unknownName === 'refuse') return { ...refuse(sight, 'other-name', `${name} is in no catalogue`), name }
  const call = ofUnlistedCall(sight)
  if (call) return call
  // Within a tunnel there is nobody to present a leaf to: the tunnel is passed on as it is.
  if (unknownName === 'intercept' && seen.protocol === 'tls' && !seen.inTunnel) {
    if (exceptionsOf(rules.policy).find(name)) return { ...splice(sight, 'exception'), name }
    const provider = unlistedProvider('opaque')
    return { ...intercept(sight, 'other-name-intercepted', provider, name), flags: ['unlisted-host'] }
  }
  // A provider's front answers by Host, whatever name the ClientHello had: there the name alone would be a way round.
  const fronted = seen.destinationIsProvider && rules.policy.proxy.noName.providerAddress === 'refuse'
  const decision = encrypted ?? splice(sight, 'other-name')
  return { ...decision, name, ...(fronted && { pinned: true }) }
}

/** Plain HTTP that has an LLM call's shape, to a host in no catalogue. */
function ofUnlistedCall(sight: Sight): Decision | undefined {
  const { seen, rules, name } = sight
  const { unlistedCalls } = rules.policy.proxy
  if (seen.protocol !== 'http' || unlistedCalls === 'pass') return undefined
  const style = callShape(seen.method ?? '', seen.target ?? '')
  if (style === undefined) return undefined
  const host = name ?? seen.destination.address
  const facts = { name: host, flags: ['unlisted-host'] }
  // Within a tunnel there is nothing to record: what is seen there can only be cut.
  if (seen.inTunnel && rules.policy.proxy.tunnel === 'record')
    return { ...splice(sight, 'unlisted-call'), ...facts }
  if (unlistedCalls === 'refuse' || seen.inTunnel) {
    return { ...refuse(sight, 'unlisted-call', `an LLM call to ${host}, which is in no catalogue`), ...facts }
  }
  return { ...intercept(sight, 'unlisted-call', unlistedProvider(style), host), flags: facts.flags }
}

/** A server on this machine that the policy names: captured where that can be done, and never cut off. */
function ofLocalService(sight: Sight): Decision | undefined {
  const { seen, rules, name } = sight
  const { address, port } = seen.destination
  const service = rules.policy.enforcement.local.find((entry) => entry.port === port)
  const here = isLoopback(address) || seen.destinationIsOwn === true
  if (service === undefined || !here || seen.inTunnel) return undefined
  const provider = rules.catalogue.providers.find(({ id }) => id === service.provider)
  const facts = { name: name ?? address, flags: ['local'] }
  if (provider === undefined || seen.protocol !== 'http' || isTunnel(seen)) {
    return { ...splice(sight, 'local'), ...facts }
  }
  const flow = { name: facts.name, provider: provider.id, address, port, ...uidOf(seen), read: true }
  const verdict = judge(rules.policy, rules.catalogue, flow)
  if (!verdict.allows && verdict.rule !== undefined)
    return { ...blocked(sight, verdict.rule), ...facts, provider }
  return { ...intercept(sight, 'local', provider, facts.name), flags: facts.flags }
}

function ofResolver(sight: Sight): Decision | undefined {
  const { seen, rules, name } = sight
  if (rules.policy.proxy.resolvers === 'pass') return undefined
  const facts = name === undefined ? {} : { name }
  if (seen.destination.port === DOT_PORT) {
    return { ...refuse(sight, 'resolver', 'DNS over TLS (port 853)'), ...facts }
  }
  const known =
    (name !== undefined && isResolverName(rules.resolvers, name)) ||
    isResolverAddress(rules.resolvers, seen.destination.address)
  if (!known) return undefined
  return { ...refuse(sight, 'resolver', `${name ?? seen.destination.address} is a DNS service`), ...facts }
}

/** What may pass of what would be let through. */
function byTraffic(sight: Sight, decision: Decision): Decision {
  const { policy, catalogue } = sight.rules
  if (decision.rule === rule(policy, 'own-host')) return decision
  const { name, provider } = decision
  const facts = { ...(name !== undefined && { name }), ...(provider !== undefined && { provider }) }
  const verdict = judge(policy, catalogue, flowOf(sight, decision))
  if (!verdict.allows) return { ...blocked(sight, verdict.rule), ...facts }
  if (isTunnel(sight.seen) || sight.seen.inTunnel) {
    // The name is told to somebody's proxy, so by itself it allows nothing; the way there must be allowed too.
    const { uid, destination } = sight.seen
    const way = judge(policy, catalogue, { ...destination, ...(uid !== undefined && { uid }) })
    return way.allows ? decision : { ...blocked(sight, way.rule), ...facts }
  }
  // A governed name's address is the proxy's to see to in any case.
  const governed = decision.action === 'intercept' && provider?.id !== UNLISTED
  return governed || !verdict.byName || verdict.byAddress ? decision : { ...decision, pinned: true }
}

function blocked(sight: Sight, by: string | undefined): Decision {
  if (by === undefined) return refuse(sight, 'traffic-default', 'no traffic rule allows it')
  return refuse(sight, `traffic/${by}`, `the traffic rule ${by} blocks it`)
}

/** 127.0.0.0/8 and ::1, in the kernel's text. */
const isLoopback = (address: string): boolean => address === '::1' || /^(?:::ffff:)?127\./.test(address)

const exceptionsOf = onceEach((policy: Policy) =>
  compileHosts(policy.proxy.exceptions.map((host) => [host, true] as const)),
)
