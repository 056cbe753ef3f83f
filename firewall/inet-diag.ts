/**
 * Messages of NETLINK_SOCK_DIAG for TCP and UDP (sock_diag(7), linux/inet_diag.h): pure. Netlink is native-endian,
 * addresses and ports in it are network order.
 */
import { endianness } from 'node:os'
import type { Endpoint } from './ip-address.ts'
import { addressBytes, MAPPED_PREFIX } from './ip-address.ts'
import { AF_INET, AF_INET6 } from './libc.ts'

const SOCK_DIAG_BY_FAMILY = 20
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_REQUEST = 1
const NLM_F_DUMP = 0x300
const IPPROTO_TCP = 6
const IPPROTO_UDP = 17
const INET_DIAG_SKV6ONLY = 11
const INET_DIAG_CGROUP_ID = 21
/** nla_len, nla_type. */
const ATTRIBUTE = 4
/** Low bits of nla_type; above are flags. */
const ATTRIBUTE_TYPE = 0x3fff
const HEADER = 16
/** nlmsghdr 16 + family, protocol, ext, pad 4 + states 4 + inet_diag_sockid 48. */
const REQUEST = 72
/** nlmsghdr 16 + family, state, timer, retrans 4 + inet_diag_sockid 48 + expires, rqueue, wqueue, uid, inode 20. */
const REPLY = 88
/** Offset of inet_diag_sockid: sport 2, dport 2, src 16, dst 16, interface 4, cookie 8. */
const REQUEST_ID = 24
const REPLY_ID = 20
const SOURCE = 4
const DESTINATION = 20
/** Ports and addresses. */
const ENDS = 36
const ZEROS = Buffer.alloc(12)
const LITTLE = endianness() === 'LE'
const u16 = (bytes: Buffer, at: number) => (LITTLE ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at))
const u32 = (bytes: Buffer, at: number) => (LITTLE ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at))
const i32 = (bytes: Buffer, at: number) => (LITTLE ? bytes.readInt32LE(at) : bytes.readInt32BE(at))
const u64 = (bytes: Buffer, at: number) => (LITTLE ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at))
const put16 = (bytes: Buffer, value: number, at: number) =>
  LITTLE ? bytes.writeUInt16LE(value, at) : bytes.writeUInt16BE(value, at)
const put32 = (bytes: Buffer, value: number, at: number) =>
  LITTLE ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at)

export interface SocketQuery {
  readonly sequence: number
  readonly family: 4 | 6
  /** The socket's own end. */
  readonly local: Endpoint
  readonly remote: Endpoint
}

export interface FoundSocket {
  /** Both ends as {@link Query} names them. */
  readonly ends: Buffer
  readonly uid: number
  /** 0 where no process holds the socket any more; the kernel's uid is meaningless then. */
  readonly inode: number
  /** Id of the cgroup it was made in: the inode number of its directory. Absent before Linux 5.9. */
  readonly cgroup?: bigint
  /** An IPv6 socket that isn't connected and takes no IPv4. */
  readonly v6Only?: true
}

export interface Query {
  readonly message: Buffer
  /** Ports and addresses as on the wire of netlink, to compare with those of the socket that was found. */
  readonly ends: Buffer
}

export type SocketAnswer =
  /** The last message of a list. */
  | { readonly sequence: number; readonly done: true }
  | { readonly sequence: number; readonly socket: FoundSocket }
  | { readonly sequence: number; readonly errno: number }

/** An exact look-up of one connected TCP socket; `undefined` where an end isn't of that family. */
export function formatQuery({ sequence, family, local, remote }: SocketQuery): Query | undefined {
  const source = addressBytes(local.address)
  const destination = addressBytes(remote.address)
  const length = family === 4 ? 4 : 16
  if (source?.length !== length || destination?.length !== length) return undefined
  const message = requestOf(sequence, family, IPPROTO_TCP, NLM_F_REQUEST)
  message.writeUInt16BE(local.port, REQUEST_ID)
  message.writeUInt16BE(remote.port, REQUEST_ID + 2)
  source.copy(message, REQUEST_ID + SOURCE)
  destination.copy(message, REQUEST_ID + DESTINATION)
  return { message, ends: message.subarray(REQUEST_ID, REQUEST_ID + ENDS) }
}

/** A list of the UDP sockets of one family that are bound to a port. */
export function formatUdpList(sequence: number, family: 4 | 6, localPort: number): Buffer {
  const message = requestOf(sequence, family, IPPROTO_UDP, NLM_F_REQUEST | NLM_F_DUMP)
  message.writeUInt16BE(localPort, REQUEST_ID)
  return message
}

function requestOf(sequence: number, family: 4 | 6, protocol: number, flags: number): Buffer {
  const message = Buffer.alloc(REQUEST)
  put32(message, REQUEST, 0)
  put16(message, SOCK_DIAG_BY_FAMILY, 4)
  put16(message, flags, 6)
  put32(message, sequence, 8)
  message[HEADER] = family === 4 ? AF_INET : AF_INET6
  message[HEADER + 1] = protocol
  // Sockets in any state.
  put32(message, 0xffff_ffff, HEADER + 4)
  // INET_DIAG_NOCOOKIE: any socket of that name.
  message.fill(0xff, REQUEST_ID + 40, REQUEST_ID + 48)
  return message
}

/** Whether a UDP socket may have sent from `local` to `remote`: bound to that address or to any, connected there or nowhere. */
export function mayBeOf({ ends, v6Only }: FoundSocket, flow: Omit<SocketQuery, 'sequence'>): boolean {
  const query = formatQuery({ sequence: 0, ...flow })
  if (!query) return false
  const own = halves(ends)
  const wanted = halves(query.ends)
  const anySource = own.source.equals(ANY)
  const bound = own.source.equals(wanted.source) || (anySource && !(v6Only && flow.family === 4))
  const connected = own.destination.equals(wanted.destination) && own.dport === wanted.dport
  return (
    own.sport === wanted.sport && bound && (connected || (own.destination.equals(ANY) && own.dport === 0))
  )
}

const ANY = Buffer.alloc(16)

function halves(ends: Buffer) {
  return {
    sport: ends.readUInt16BE(0),
    dport: ends.readUInt16BE(2),
    source: ends.subarray(SOURCE, SOURCE + 16),
    destination: ends.subarray(DESTINATION, DESTINATION + 16),
  }
}

/** The messages of one datagram; what is none of ours is left out. */
export function parseAnswers(datagram: Buffer): SocketAnswer[] {
  const answers: SocketAnswer[] = []
  for (let at = 0; at + HEADER <= datagram.length; ) {
    const length = u32(datagram, at)
    if (length < HEADER || at + length > datagram.length) break
    const answer = parseAnswer(datagram.subarray(at, at + length))
    if (answer) answers.push(answer)
    // NLMSG_ALIGN
    at += (length + 3) & ~3
  }
  return answers
}

function parseAnswer(message: Buffer): SocketAnswer | undefined {
  const type = u16(message, 4)
  const sequence = u32(message, 8)
  if (type === NLMSG_DONE) return { sequence, done: true }
  if (type === NLMSG_ERROR) {
    return message.length < HEADER + 4 ? undefined : { sequence, errno: -i32(message, HEADER) }
  }
  if (type !== SOCK_DIAG_BY_FAMILY || message.length < REPLY) return undefined
  return {
    sequence,
    socket: {
      ends: endsOf(message),
      uid: u32(message, REPLY_ID + 60),
      inode: u32(message, REPLY_ID + 64),
      ...attributes(message),
    },
  }
}

function attributes(message: Buffer): Pick<FoundSocket, 'cgroup' | 'v6Only'> {
  let found: Pick<FoundSocket, 'cgroup' | 'v6Only'> = {}
  for (let at = REPLY; at + ATTRIBUTE <= message.length; ) {
    const length = u16(message, at)
    if (length < ATTRIBUTE || at + length > message.length) break
    const type = u16(message, at + 2) & ATTRIBUTE_TYPE
    if (type === INET_DIAG_CGROUP_ID && length === ATTRIBUTE + 8) {
      found = { ...found, cgroup: u64(message, at + ATTRIBUTE) }
    }
    if (type === INET_DIAG_SKV6ONLY && message[at + ATTRIBUTE] === 1) found = { ...found, v6Only: true }
    // NLA_ALIGN
    at += (length + 3) & ~3
  }
  return found
}

/** An IPv6 socket that speaks IPv4 shows IPv4-mapped addresses; its ends are those of an IPv4 socket. */
function endsOf(message: Buffer): Buffer {
  const ends = Buffer.from(message.subarray(REPLY_ID, REPLY_ID + ENDS))
  if (message[HEADER] === AF_INET) return ends
  for (const at of [SOURCE, DESTINATION]) {
    const address = ends.subarray(at, at + 16)
    if (address.subarray(0, 12).equals(MAPPED_PREFIX))
      Buffer.concat([address.subarray(12), ZEROS]).copy(address)
  }
  return ends
}
