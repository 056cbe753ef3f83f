/**
 * Whose connection a redirected one is, asked of the kernel by the client's own end: its socket still shows
 * the destination that it asked for, not the proxy. Needs no privilege; sees the sockets of this network
 * namespace, so a container's connection has no owner here.
 *
 * Never a guess: a socket that is gone, or that no process holds any more, is `undefined`.
 */
import { constants } from 'node:os'
import type { FoundSocket } from './inet-diag.ts'
import { formatQuery, formatUdpList, mayBeOf, parseAnswers, type SocketAnswer } from './inet-diag.ts'
import type { Endpoint } from './ip-address.ts'
import { callFailed, libc, SOCK_CLOEXEC, SOL_SOCKET } from './libc.ts'

export interface Flow {
  /** `tcp` where absent. */
  readonly protocol?: 'tcp' | 'udp'
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
  /** Id of the cgroup that the socket was made in; absent before Linux 5.9. */
  readonly cgroup?: bigint
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
/** A datagram of a list has 32 KiB at most (netlink_dump). */
const reply = Buffer.alloc(32_768)

/**
 * Owner of the client's socket; `undefined` where there is none to be found, and where several sockets may have sent the
 * datagram.
 * @throws FirewallError `system-call` where the kernel can't be asked
 */
export function flowOwner(flow: Flow): FlowOwner | undefined {
  const found = flow.protocol === 'udp' ? lookUpUdp(flow) : lookUpTcp(flow)
  if (!found || found.inode === 0) return undefined
  const { uid, inode, cgroup } = found
  return cgroup === undefined ? { uid, inode } : { uid, inode, cgroup }
}

function lookUpTcp({ family, client, destination }: Flow): FoundSocket | undefined {
  const query = formatQuery({ sequence: next(), family, local: client, remote: destination })
  if (!query) return undefined
  for (const answer of ask(query.message)) {
    // Where there is no such connection the kernel answers with a listener on the same port.
    if ('socket' in answer) return answer.socket.ends.equals(query.ends) ? answer.socket : undefined
  }
  return undefined
}

/** The kernel's exact look-up finds who would receive, which need not be who sent: all that are bound there count. */
function lookUpUdp({ family, client, destination }: Flow): FoundSocket | undefined {
  const flow = { family, local: client, remote: destination }
  const families = family === 4 ? ([4, 6] as const) : ([6] as const)
  const found = families.flatMap((of) =>
    [...ask(formatUdpList(next(), of, client.port))].flatMap((answer) =>
      'socket' in answer && mayBeOf(answer.socket, flow) ? [answer.socket] : [],
    ),
  )
  return found.length === 1 ? found[0] : undefined
}

function next(): number {
  sequence = (sequence + 1) >>> 0
  return sequence
}

/** The answers to one message: a socket, or a list with its end. */
function* ask(message: Buffer): Generator<SocketAnswer> {
  netlink ??= openNetlink()
  const sent = libc.send(netlink, message, message.length, 0)
  if (sent < 0) throw callFailed('send to NETLINK_SOCK_DIAG', sent, REMEDY)
  for (;;) {
    const size = libc.recv(netlink, reply, reply.length, 0)
    if (size < 0) throw callFailed('recv from NETLINK_SOCK_DIAG', size, REMEDY)
    for (const answer of parseAnswers(reply.subarray(0, size))) {
      // An answer that came too late for the question before.
      if (answer.sequence !== sequence) continue
      if ('errno' in answer && answer.errno !== constants.errno.ENOENT && answer.errno !== 0) {
        throw callFailed('NETLINK_SOCK_DIAG', -answer.errno, REMEDY)
      }
      if ('errno' in answer || 'done' in answer) return
      yield answer
    }
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
