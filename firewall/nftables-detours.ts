/**
 * Source routes: packets that are addressed to a host on the way and carry their true destination within, which the
 * rules don't see. Any user may ask for IPv6's (IPV6_RTHDR; RFC 8200, RFC 8754), CAP_NET_RAW for IPv4's (IP_OPTIONS
 * with LSRR or SSRR; RFC 791). Few routers follow them, but the first one may, and honest programs have no use for
 * them. The kernel's own, without a socket, answer those who came by such a way.
 */
import type { Enforcement } from './enforcement.ts'
import { judgeSockets } from './nftables-senders.ts'
import type { TableText } from './nftables-text.ts'

const SOURCE_ROUTED = ['ip option lsrr exists', 'ip option ssrr exists', 'exthdr rt exists'] as const

/**
 * @param ungoverned rules that let ungoverned senders pass
 * @param from what governed forwarding begins with; undefined where none is governed
 */
export function detours(
  { add }: TableText,
  e: Enforcement,
  ungoverned: readonly string[],
  subjects: 'everyone' | string[],
  from: string | undefined,
): string[] {
  if (e.fence === 'nothing') return []
  const rule = (what: string) => add(`rule detour ${what}`)
  return SOURCE_ROUTED.flatMap((match) => [
    add(`rule output ${match} goto detour`),
    ...(from === undefined ? [] : [add(`rule forward ${from}${match} goto refuse`)]),
  ]).concat([...ungoverned.map(rule), ...judgeSockets(rule, subjects, 'refuse')])
}
