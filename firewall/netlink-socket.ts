/** A netlink socket in the network namespace of this process (netlink(7)). */
import { callFailed, libc, SOCK_CLOEXEC, SOL_SOCKET } from './libc.ts'

/** What is on the other side. */
export const NETLINK = { route: 0, netfilter: 12 } as const

const AF_NETLINK = 16
const SOCK_RAW = 3
const SO_RCVTIMEO = 20
/** The kernel answers at once; the timeout is there so that nothing can hang the caller. */
const RECEIVE_TIMEOUT_MICROSECONDS = 200_000
export const REMEDY = 'run in a network namespace of Linux with netlink, and free file descriptors'

/**
 * @param groups bits of the multicast groups whose news it gets
 * @returns its file descriptor, for the caller to close
 * @throws FirewallError `system-call`
 */
export function openNetlink(protocol: (typeof NETLINK)[keyof typeof NETLINK], groups = 0): number {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
  if (fd < 0) throw callFailed('socket AF_NETLINK', fd, REMEDY)
  // sockaddr_nl: family 2, padding 2, port id 4 (0: the kernel chooses), groups 4; in the machine's order.
  const address = Buffer.alloc(12)
  new Uint16Array(address.buffer, address.byteOffset, 1)[0] = AF_NETLINK
  new Uint32Array(address.buffer, address.byteOffset + 8, 1)[0] = groups
  const timeout = Buffer.from(BigInt64Array.of(0n, BigInt(RECEIVE_TIMEOUT_MICROSECONDS)).buffer)
  const failure =
    libc.bind(fd, address, address.length) ||
    libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length)
  if (failure === 0) return fd
  libc.close(fd)
  throw callFailed('bind AF_NETLINK', failure, REMEDY)
}
