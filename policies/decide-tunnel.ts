/**
 * What becomes of a connection to somebody's proxy.
 *
 * Threat model: the agent tells the proxy where it goes, and then whatever it likes; the proxy may be its own. Where a
 * tunnel may be looked into, nothing may go on that isn't there to be seen.
 */
import { matchHost } from './catalogue.ts'
import type { Provider } from './catalogue-schema.ts'
import { hidden } from './decide-hidden.ts'
import { type Decision, refuse, rule, type Seen, type Sight, splice } from './decision.ts'
import { normaliseName } from './host-name.ts'

export const isTunnel = (seen: Seen): boolean =>
  seen.protocol === 'socks' || (seen.protocol === 'http' && seen.method?.toUpperCase() === 'CONNECT')

export function ofTunnel(sight: Sight): Decision | undefined {
  const { seen, rules } = sight
  const target = seen.tunnelTarget === undefined ? undefined : normaliseName(seen.tunnelTarget)
  const provider = target === undefined ? undefined : matchHost(rules.catalogue, target)
  if (provider) return tunnelled(sight, provider, target)
  const { tunnel } = rules.policy.proxy
  const facts = target === undefined ? {} : { name: target }
  if (tunnel === 'refuse') {
    return { ...refuse(sight, 'tunnel', `a tunnel${target === undefined ? '' : ` to ${target}`}`), ...facts }
  }
  // What goes to a provider's address is no proxy's: a server there may pass over the CONNECT and answer what follows.
  if (seen.destinationIsProvider) {
    const outside = hidden(sight, 'otherProtocol')
    if (outside.action === 'refuse') return outside
  }
  if (seen.tunnelBlind !== undefined) return { ...blind(sight, seen.tunnelBlind), ...facts }
  return { action: 'inspect', rule: rule(rules.policy, 'tunnel'), ...facts }
}

/** The data goes elsewhere, or comes from there: on this connection nothing of it shows. */
function blind(sight: Sight, asked: string): Decision {
  if (sight.rules.policy.proxy.tunnel !== 'record')
    return refuse(sight, 'tunnel-blind', `${asked} through a SOCKS proxy, which can't be looked into`)
  return { ...splice(sight, 'tunnel-blind'), flags: [asked] }
}

export function tunnelled(sight: Sight, provider: Provider, name: string | undefined): Decision {
  const facts = { provider, ...(name !== undefined && { name }), flags: ['tunnelled-provider'] }
  if (sight.rules.policy.proxy.tunnel !== 'record') {
    return { ...refuse(sight, 'tunnel-governed-name', `${name} within a tunnel`), ...facts }
  }
  return { ...splice(sight, 'tunnel-governed-name'), ...facts }
}
