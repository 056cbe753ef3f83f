import { constants } from 'node:os'
import { FirewallError } from './errors.ts'
import type { Endpoint } from './ip-address.ts'
import { AF_INET, AF_INET6, callFailed, int, libc, SOCK_CLOEXEC, SOCK_DGRAM } from './libc.ts'
import { formatSockaddr } from './socket-address.ts'

const SOCK_NONBLOCK = 0o4000
const IPPROTO_IP = 0
const IP_PKTINFO = 8
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
const IPV6_RECVPKTINFO = 49

/**
 * A bound UDP socket as a bare descriptor, like `openListener`'s: for a supervisor to keep and to hand to children by
 * `stdio`. Each datagram comes with the local address that it was sent to (see `datagram-messages.ts`).
 *
 * No SO_REUSEADDR: with it on both, any user's socket could take the port's datagrams over.
 * @throws FirewallError `port-taken`, `not-permitted` (a port below 1024), `system-call`
 */
export function openDatagramSocket(endpoint: Endpoint): number {
  const { family, bytes } = formatSockaddr(endpoint)
  const domain = family === 4 ? AF_INET : AF_INET6
  const fd = check('socket', libc.socket(domain, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), endpoint)
  try {
    const on = int(1)
    const set = (level: number, option: number) =>
      check('setsockopt', libc.setsockopt(fd, level, option, on, on.length), endpoint)
    if (family === 4) set(IPPROTO_IP, IP_PKTINFO)
    else {
      set(IPPROTO_IPV6, IPV6_V6ONLY)
      set(IPPROTO_IPV6, IPV6_RECVPKTINFO)
    }
    check('bind', libc.bind(fd, bytes, bytes.length), endpoint)
  } catch (error) {
    libc.close(fd)
    throw error
  }
  return fd
}

/** Closes what {@link openDatagramSocket} gave, once. @throws FirewallError `system-call` where it isn't open */
export function closeDatagramSocket(fd: number): void {
  const result = libc.close(fd)
  if (result < 0) throw callFailed('close', result, 'close a socket once')
}

function check(call: string, result: number, { address, port }: Endpoint): number {
  if (result >= 0) return result
  const { EADDRINUSE, EACCES } = constants.errno
  if (result === -EADDRINUSE) {
    throw new FirewallError(
      'port-taken',
      `UDP port ${port} on ${address} is taken`,
      `find its holder with: ss -lunp 'sport = :${port}', or configure another port`,
    )
  }
  if (result === -EACCES) {
    throw new FirewallError(
      'not-permitted',
      `UDP port ${port} on ${address} may not be bound`,
      'use a port above 1023 or run as root',
    )
  }
  throw callFailed(
    `${call} for UDP ${address} port ${port}`,
    result,
    'see whether this machine has that address',
  )
}
