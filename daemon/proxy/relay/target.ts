/** Where a governed connection is taken. */
import type { Route } from '../names/directory.ts'
import type { Protocol, UpstreamConnection } from '../upstream/connection.ts'
import type { Target } from '../upstream/providers.ts'
import type { Governed, Shared } from './facts.ts'

export function targetOf({ name, originalDestination, tls, agent, client, direct }: Governed): Target {
  return {
    name,
    port: originalDestination.port,
    tls,
    uid: agent.uid,
    client: `${client.address} ${client.port}`,
    ...(direct ? { address: originalDestination.address } : {}),
  }
}

/** @throws ProxyError upstream_unresolved */
export async function routeOf(shared: Shared, governed: Governed): Promise<Route> {
  const { name, originalDestination, direct } = governed
  if (direct) return { addresses: [originalDestination.address], mismatch: false }
  return shared.directory.route(name, originalDestination.address)
}

/** A connection that was opened ahead of its first exchange. */
export interface Opened {
  readonly connection: UpstreamConnection
  /** The agent dialled an address that is none of the name's. */
  readonly mismatch: boolean
}

/** @throws ProxyError upstream_* */
export async function open(
  shared: Shared,
  governed: Governed,
  protocols: readonly Protocol[],
): Promise<Opened> {
  const route = await routeOf(shared, governed)
  const connection = await shared.providers.dial(targetOf(governed), route, protocols)
  return { connection, mismatch: route.mismatch }
}
