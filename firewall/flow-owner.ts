/**
 * Whose connection a redirected one is, asked of the kernel by the client's own end: its socket still shows
 * the destination that it asked for, not the proxy. Needs no privilege; sees the sockets of this network
 * namespace, so a container's connection has no owner here.
 *
 * Never a guess: a socket that is gone, or that no process holds any more, is `undefined`.
 */
import { constants } from 'node:os'
import type { FoundSocket } from './inet-diag.ts'
import { formatQuery, parseAnswer } from './inet-diag.ts'
import type { Endpoint } from './ip-address.ts'
import { callFailed, libc, SOCK_CLOEXEC, SOL_SOCKET } from './libc.ts'

export interface Flow {
  readonly family: 4 | 6
  /** The client's end, as the accepted socket names its peer. */
  readonly client: Endpoint
  /** What the client asked for: the original destination. */
  readonly destination: Endpoint
}

export interface FlowOwner {
  /** User who created the socket. */
  readonly uid: number
  /** Inode of the socket, as in /proc/<pid>/fd. */
  readonly inode: number
}

const AF_NETLINK = 16
const SOCK_RAW = 3
const NETLINK_SOCK_DIAG = 4
const SO_RCVTIMEO = 20
/** The kernel answers within send(2); the timeout is there so that nothing can hang the caller. */
const RECEIVE_TIMEOUT_MICROSECONDS = 50_000
const REMEDY = 'load the kernel modules inet_diag and tcp_diag'

let netlink: number | undefined
let sequence = 0
const reply = Buffer.alloc(8192)

/**
 * Owner of the client's socket; `undefined` where there is none to be found.
 * @throws FirewallError `system-call` where the kernel can't be asked
 */
export function flowOwner(flow: Flow): FlowOwner | undefined {
  const found = lookUp(flow)
  return found && found.inode !== 0 ? { uid: found.uid, inode: found.inode } : undefined
}

function lookUp({ family, client, destination }: Flow): FoundSocket | undefined {
  sequence = (sequence + 1) >>> 0
  const query = formatQuery({ sequence, family, local: client, remote: destination })
  if (!query) return undefined
  netlink ??= openNetlink()
  const sent = libc.send(netlink, query.message, query.message.length, 0)
  if (sent < 0) throw callFailed('send to NETLINK_SOCK_DIAG', sent, REMEDY)
  for (;;) {
    const size = libc.recv(netlink, reply, reply.length, 0)
    if (size < 0) throw callFailed('recv from NETLINK_SOCK_DIAG', size, REMEDY)
    const answer = parseAnswer(reply.subarray(0, size))
    // An answer that came too late for the question before.
    if (answer?.sequence !== sequence) continue
    // Where there is no such connection the kernel answers with a listener on the same port.
    if ('socket' in answer) return answer.socket.ends.equals(query.ends) ? answer.socket : undefined
    if (answer.errno === constants.errno.ENOENT) return undefined
    throw callFailed('NETLINK_SOCK_DIAG', -answer.errno, REMEDY)
  }
}

function openNetlink(): number {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
  if (fd < 0) throw callFailed('socket NETLINK_SOCK_DIAG', fd, REMEDY)
  const timeout = Buffer.from(BigInt64Array.of(0n, BigInt(RECEIVE_TIMEOUT_MICROSECONDS)).buffer)
  const set = libc.setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length)
  if (set === 0) return fd
  libc.close(fd)
  throw callFailed('setsockopt SO_RCVTIMEO', set, REMEDY)
}
