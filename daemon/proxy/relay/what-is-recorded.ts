/**
 * What one request on an intercepted connection is recorded as, if at all.
 *
 * Threat model: the connection was decided on by one name (SNI, or the first request's Host), the provider's front
 * end goes by each request's own. A request that names another server is refused, or, where the policy lets it
 * through, always recorded: by paths alone it could pass for one that isn't governed.
 */
import { callShape, unlistedProvider } from '../../../policies/call-shape.ts'
import { UNLISTED } from '../../../policies/catalogue-schema.ts'
import { governsTarget } from '../../../policies/governed-path.ts'
import { misdirected, type RequestTarget, readTarget } from '../http/framing.ts'
import type { RequestHead } from '../http/head.ts'
import { ProxyError } from '../proxy-error.ts'
import type { Governed, Shared } from './facts.ts'

/**
 * @returns undefined where the request is forwarded without a record
 * @throws ProxyError malformed_host, unsupported_target, misdirected_request, unlisted_call
 */
export function whatIsRecorded(shared: Shared, governed: Governed, head: RequestHead): Governed | undefined {
  return whatTargetIsRecorded(shared, governed, head.method, readTarget(head))
}

/**
 * As {@link whatIsRecorded}, of a request in any version of HTTP.
 * @throws ProxyError misdirected_request, unlisted_call
 */
export function whatTargetIsRecorded(
  shared: Shared,
  governed: Governed,
  method: string,
  { path, hosts }: RequestTarget,
): Governed | undefined {
  const unlisted = governed.provider.id === UNLISTED
  const other = governed.local === true ? undefined : hosts.find((host) => host !== governed.name)
  // An outside proxy for plain HTTP is told of many hosts on one connection.
  const harmless = unlisted && !governed.tls && !hosts.some((host) => shared.governs(host))
  if (other !== undefined && !harmless) {
    if (shared.policy.proxy.nameMismatch === 'refuse') throw misdirected(governed.name)
    return { ...governed, flags: [...(governed.flags ?? []), 'name-mismatch'] }
  }
  if (unlisted) return unlistedCall(shared, { ...governed, name: other ?? governed.name }, method, path)
  return governsTarget(governed.provider, path) ? governed : undefined
}

function unlistedCall(
  shared: Shared,
  governed: Governed,
  method: string,
  path: string,
): Governed | undefined {
  const style = callShape(method, path)
  const { unlistedCalls } = shared.policy.proxy
  if (governed.everything && style === undefined) return governed
  if (style === undefined || unlistedCalls === 'pass') return undefined
  if (unlistedCalls === 'record') return { ...governed, provider: unlistedProvider(style) }
  throw new ProxyError(
    'unlisted_call',
    `an LLM call to ${governed.name}, which is in no catalogue`,
    'Have the host added to the catalogue of this machine, or call a provider that is in it.',
  )
}
