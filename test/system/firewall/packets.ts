/** Packets as bytes, and the sockets that send them past the IP stack or with headers of one's own. */
import { isIPv6 } from 'node:net'
import { getSystemErrorName } from 'node:util'
import { addressBytes } from '../../../firewall/ip-address.ts'
import { AF_INET, AF_INET6, deviceIndex, int, libc } from '../../../firewall/libc.ts'
import { formatSockaddr } from '../../../firewall/socket-address.ts'

const AF_PACKET = 17
const SOCK_RAW = 3
const SOL_PACKET = 263
const PACKET_QDISC_BYPASS = 20

export const IPPROTO_RAW = 255
export const TCP = 6
export const UDP = 17
export const ACK = 0x10
export const SYN = 0x02

export interface Frame {
  readonly device: string
  /** What AF_PACKET notes beside the frame; what a device takes it for. */
  readonly protocol: number
  readonly bytes: string
  readonly bypassQdisc?: boolean
}

export interface Packet {
  readonly address: string
  /** {@link IPPROTO_RAW}: the bytes begin with an IP header. */
  readonly protocol: number
  readonly bytes: string
}

export function sendFrame({ device, protocol, bytes, bypassQdisc }: Frame): string {
  const bigEndian = ((protocol & 0xff) << 8) | (protocol >> 8)
  // Protocol 0: this socket receives nothing.
  const fd = libc.socket(AF_PACKET, SOCK_RAW, 0)
  if (fd < 0) return failure(fd)
  if (bypassQdisc) libc.setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, int(1), 4)
  const address = Buffer.alloc(20)
  address.writeUInt16LE(AF_PACKET, 0)
  address.writeUInt16LE(bigEndian, 2)
  address.writeInt32LE(deviceIndex(device) ?? 0, 4)
  return sent(fd, libc.bind(fd, address, address.length), bytes)
}

export function sendPacket({ address, protocol, bytes }: Packet): string {
  const fd = libc.socket(isIPv6(address) ? AF_INET6 : AF_INET, SOCK_RAW, protocol)
  if (fd < 0) return failure(fd)
  const to = formatSockaddr({ address, port: 0 })
  return sent(fd, libc.connect(fd, to.bytes, to.bytes.length), bytes)
}

function sent(fd: number, ready: number, bytes: string): string {
  const data = Buffer.from(bytes, 'hex')
  const result = ready < 0 ? ready : libc.send(fd, data, data.length, 0)
  libc.close(fd)
  return result < 0 ? failure(result) : 'sent'
}

const failure = (result: number) => `error ${getSystemErrorName(result)}`

export interface Ends {
  readonly from: string
  readonly to: string
}

export interface Ports {
  readonly source?: number
  readonly port: number
}

export function udp(
  { from, to }: Ends,
  { source = 5353, port }: Ports,
  data: string | Buffer = 'raw',
): Buffer {
  const body = Buffer.concat([
    words(source, port, 8 + data.length, 0),
    typeof data === 'string' ? Buffer.from(data) : data,
  ])
  body.writeUInt16BE(checksum(pseudo(from, to, UDP, body), body) || 0xffff, 6)
  return body
}

export function tcp({ from, to }: Ends, { source = 5353, port }: Ports, flags: number): Buffer {
  const body = Buffer.concat([words(source, port, 0, 1, 0, 1), Buffer.from([0x50, flags]), words(1024, 0, 0)])
  body.writeUInt16BE(checksum(pseudo(from, to, TCP, body), body), 16)
  return body
}

/** An echo request (RFC 792, RFC 4443); the kernel sums up those of ICMPv6 itself. */
export function echo(family: 4 | 6): Buffer {
  const body = Buffer.concat([
    words(family === 4 ? 0x0800 : 0x8000, 0, 7, 1),
    Buffer.from('secret payload!!'),
  ])
  if (family === 4) body.writeUInt16BE(checksum(body), 2)
  return body
}

/** A first fragment is cut after `cut` bytes of the body. */
export function ip({ from, to }: Ends, protocol: number, body: Buffer, cut?: number): Buffer {
  const payload = cut === undefined ? body : body.subarray(0, cut)
  if (isIPv6(to)) {
    const fragment = cut === undefined ? Buffer.alloc(0) : Buffer.from([protocol, 0, 0, 1, 0, 0, 0, 9])
    const next = cut === undefined ? protocol : 44
    const head = Buffer.concat([
      Buffer.from([0x60, 0, 0, 0]),
      words(payload.length + fragment.length),
      Buffer.from([next, 64]),
    ])
    return Buffer.concat([head, bytesOf(from), bytesOf(to), fragment, payload])
  }
  const head = Buffer.concat([
    Buffer.from([0x45, 0]),
    words(20 + payload.length, 1, cut === undefined ? 0 : 0x2000),
    Buffer.from([64, protocol, 0, 0]),
    bytesOf(from),
    bytesOf(to),
  ])
  head.writeUInt16BE(checksum(head), 10)
  return Buffer.concat([head, payload])
}

/** @param types what stands between the addresses and the packet: a type, tags and a type, or other wrapping */
export function ethernet(link: { from: string; to: string }, types: number[], packet: Buffer): string {
  const mac = (text: string) => Buffer.from(text.replaceAll(':', ''), 'hex')
  return Buffer.concat([mac(link.to), mac(link.from), words(...types), packet]).toString('hex')
}

function pseudo(from: string, to: string, protocol: number, body: Buffer): Buffer {
  return Buffer.concat([bytesOf(from), bytesOf(to), words(0, body.length, 0, protocol)])
}

/** RFC 1071. */
function checksum(...parts: Buffer[]): number {
  const all = Buffer.concat(parts)
  const even = all.length % 2 === 0 ? all : Buffer.concat([all, Buffer.alloc(1)])
  let sum = 0
  for (let i = 0; i < even.length; i += 2) sum += even.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length)
  for (const [i, value] of values.entries()) bytes.writeUInt16BE(value, 2 * i)
  return bytes
}

const bytesOf = (address: string) => addressBytes(address) ?? Buffer.alloc(0)
