import type { Socket } from 'node:net'
import { constants } from 'node:os'
import type { Endpoint } from './ip-address.ts'
import { callFailed, int, libc } from './libc.ts'
import { parseSockaddr, SOCKADDR_IN6_SIZE } from './socket-address.ts'

/** SOL_IP/SO_ORIGINAL_DST and SOL_IPV6/IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv4.h, netfilter_ipv6/ip6_tables.h). */
const OPTION = { 4: { level: 0, name: 80 }, 6: { level: 41, name: 80 } }

/** Conntrack doesn't know the connection, isn't there, or the socket is no longer connected. */
const NOT_REDIRECTED = new Set([
  constants.errno.ENOENT,
  constants.errno.ENOPROTOOPT,
  constants.errno.ENOTCONN,
])

/**
 * Where the client of an accepted connection meant to go, from conntrack. `undefined` where the kernel knows
 * of no such connection; a connection that was dialled directly may also give the listener's own address.
 * @param fd descriptor of the accepted socket
 * @param family of the listener
 * @throws FirewallError `system-call`
 */
export function originalDestination(fd: number, family: 4 | 6): Endpoint | undefined {
  const { level, name } = OPTION[family]
  const address = Buffer.alloc(SOCKADDR_IN6_SIZE)
  const size = int(address.length)
  const result = libc.getsockopt(fd, level, name, address, size)
  if (result === 0) return parseSockaddr(address)
  if (NOT_REDIRECTED.has(-result)) return undefined
  throw callFailed('getsockopt SO_ORIGINAL_DST', result, 'load the kernel module nf_conntrack')
}

/** The descriptor beneath a connected socket: Node keeps it on an undocumented handle. `undefined` once closed. */
export function socketDescriptor(socket: Socket): number | undefined {
  const { _handle: handle } = socket as Socket & { readonly _handle?: { readonly fd?: unknown } | null }
  const fd = handle?.fd
  return typeof fd === 'number' && fd >= 0 ? fd : undefined
}
