import { constants } from 'node:os'
import { FirewallError } from './errors.ts'
import type { Endpoint } from './ip-address.ts'
import { AF_INET, AF_INET6, callFailed, int, libc, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET } from './libc.ts'
import { formatSockaddr } from './socket-address.ts'

const SO_REUSEADDR = 2
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
/** The kernel caps it at net.core.somaxconn, 4096 by default. */
const BACKLOG = 4096

/**
 * A listening TCP socket as a bare descriptor, for a supervisor to keep and to hand to children by `stdio`
 * (`spawn(…, {stdio: […, fd]})`, then `server.listen({fd})` there): it lives on while they come and go.
 *
 * Close-on-exec is set: Node duplicates what stdio names into the child, which clears it there, and no other
 * child (nft, an EVM node) keeps the port after the supervisor's death. No SO_REUSEPORT: nobody may join in.
 * IPv6 sockets are for IPv6 alone.
 * @throws FirewallError `port-taken`, `not-permitted` (a port below 1024), `system-call`
 */
export function openListener(endpoint: Endpoint): number {
  const { family, bytes } = formatSockaddr(endpoint)
  const fd = check(
    'socket',
    libc.socket(family === 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0),
    endpoint,
  )
  try {
    const on = int(1)
    check('setsockopt', libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, on, on.length), endpoint)
    if (family === 6)
      check('setsockopt', libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, on, on.length), endpoint)
    check('bind', libc.bind(fd, bytes, bytes.length), endpoint)
    check('listen', libc.listen(fd, BACKLOG), endpoint)
  } catch (error) {
    libc.close(fd)
    throw error
  }
  return fd
}

/** Closes what {@link openListener} gave, once. @throws FirewallError `system-call` where it isn't open */
export function closeListener(fd: number): void {
  const result = libc.close(fd)
  if (result < 0) throw callFailed('close', result, 'close a listener once')
}

function check(call: string, result: number, { address, port }: Endpoint): number {
  if (result >= 0) return result
  const { EADDRINUSE, EACCES } = constants.errno
  if (result === -EADDRINUSE) {
    throw new FirewallError(
      'port-taken',
      `port ${port} on ${address} is taken`,
      `find its holder with: ss -ltnp 'sport = :${port}', or configure another port`,
    )
  }
  if (result === -EACCES) {
    throw new FirewallError(
      'not-permitted',
      `port ${port} on ${address} may not be bound`,
      'use a port above 1023 or run as root',
    )
  }
  throw callFailed(`${call} for ${address} port ${port}`, result, 'see whether this machine has that address')
}
