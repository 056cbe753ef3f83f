/**
 * Messages of NETLINK_SOCK_DIAG for TCP (sock_diag(7), linux/inet_diag.h): pure. Netlink is native-endian,
 * addresses and ports in it are network order.
 */
import { endianness } from 'node:os'
import type { Endpoint } from './ip-address.ts'
import { addressBytes, MAPPED_PREFIX } from './ip-address.ts'
import { AF_INET, AF_INET6 } from './libc.ts'

const SOCK_DIAG_BY_FAMILY = 20
const NLMSG_ERROR = 2
const NLM_F_REQUEST = 1
const IPPROTO_TCP = 6
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
}

export interface Query {
  readonly message: Buffer
  /** Ports and addresses as on the wire of netlink, to compare with those of the socket that was found. */
  readonly ends: Buffer
}

export type SocketAnswer =
  | { readonly sequence: number; readonly socket: FoundSocket }
  | { readonly sequence: number; readonly errno: number }

/** An exact look-up of one connected TCP socket; `undefined` where an end isn't of that family. */
export function formatQuery({ sequence, family, local, remote }: SocketQuery): Query | undefined {
  const source = addressBytes(local.address)
  const destination = addressBytes(remote.address)
  const length = family === 4 ? 4 : 16
  if (source?.length !== length || destination?.length !== length) return undefined
  const message = Buffer.alloc(REQUEST)
  put32(message, REQUEST, 0)
  put16(message, SOCK_DIAG_BY_FAMILY, 4)
  put16(message, NLM_F_REQUEST, 6)
  put32(message, sequence, 8)
  message[HEADER] = family === 4 ? AF_INET : AF_INET6
  message[HEADER + 1] = IPPROTO_TCP
  put32(message, 0xffff_ffff, HEADER + 4)
  message.writeUInt16BE(local.port, REQUEST_ID)
  message.writeUInt16BE(remote.port, REQUEST_ID + 2)
  source.copy(message, REQUEST_ID + SOURCE)
  destination.copy(message, REQUEST_ID + DESTINATION)
  // INET_DIAG_NOCOOKIE: any socket of that name.
  message.fill(0xff, REQUEST_ID + 40, REQUEST_ID + 48)
  return { message, ends: message.subarray(REQUEST_ID, REQUEST_ID + ENDS) }
}

/** The first message of an answer; `undefined` where it is none of ours. */
export function parseAnswer(message: Buffer): SocketAnswer | undefined {
  if (message.length < HEADER + 4) return undefined
  const type = u16(message, 4)
  const sequence = u32(message, 8)
  if (type === NLMSG_ERROR) return { sequence, errno: -i32(message, HEADER) }
  if (type !== SOCK_DIAG_BY_FAMILY || message.length < REPLY) return undefined
  return {
    sequence,
    socket: {
      ends: endsOf(message),
      uid: u32(message, REPLY_ID + 60),
      inode: u32(message, REPLY_ID + 64),
    },
  }
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
