/** The common frame of netlink's messages (netlink(7), linux/netlink.h): pure. Netlink is native-endian. */
import { endianness } from 'node:os'

export const LITTLE = endianness() === 'LE'
export const NLMSG_HEADER = 16
export const NLMSG_ERROR = 2
export const NLM_F_REQUEST = 1
const ATTRIBUTE_HEADER = 4
/** The two highest bits of an attribute's type are flags. */
const TYPE = 0x3fff
const NLA_F_NESTED = 0x8000

export interface NetlinkMessage {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  /** What stands behind the header. */
  readonly body: Buffer
}

export function* messagesOf(datagram: Buffer): Generator<NetlinkMessage> {
  const view = viewOf(datagram)
  for (let at = 0; at + NLMSG_HEADER <= datagram.length; ) {
    const length = view.getUint32(at, LITTLE)
    if (length < NLMSG_HEADER || at + length > datagram.length) return
    yield {
      type: view.getUint16(at + 4, LITTLE),
      flags: view.getUint16(at + 6, LITTLE),
      sequence: view.getUint32(at + 8, LITTLE),
      body: datagram.subarray(at + NLMSG_HEADER, at + length),
    }
    at += aligned(length)
  }
}

export function messageOf({ type, flags, sequence, body }: NetlinkMessage): Buffer {
  const header = Buffer.alloc(NLMSG_HEADER)
  const view = viewOf(header)
  view.setUint32(0, NLMSG_HEADER + body.length, LITTLE)
  view.setUint16(4, type, LITTLE)
  view.setUint16(6, flags, LITTLE)
  view.setUint32(8, sequence, LITTLE)
  return Buffer.concat([header, body])
}

/** The errno of a message of type NLMSG_ERROR; 0 is an acknowledgement. */
export const errnoOf = (body: Buffer): number | undefined =>
  body.length < 4 ? undefined : -viewOf(body).getInt32(0, LITTLE)

export function* attributesOf(bytes: Buffer): Generator<[type: number, value: Buffer]> {
  const view = viewOf(bytes)
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length; ) {
    const length = view.getUint16(at, LITTLE)
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length) return
    yield [view.getUint16(at + 2, LITTLE) & TYPE, bytes.subarray(at + ATTRIBUTE_HEADER, at + length)]
    at += aligned(length)
  }
}

export function attribute(type: number, value: Buffer): Buffer {
  const header = Buffer.alloc(ATTRIBUTE_HEADER)
  const view = viewOf(header)
  view.setUint16(0, ATTRIBUTE_HEADER + value.length, LITTLE)
  view.setUint16(2, type, LITTLE)
  return Buffer.concat([header, value, Buffer.alloc(aligned(value.length) - value.length)])
}

export const nested = (type: number, ...inner: readonly Buffer[]): Buffer =>
  attribute(type | NLA_F_NESTED, Buffer.concat(inner))

export const viewOf = (bytes: Buffer) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
/** Netlink pads messages and attributes to four bytes. */
const aligned = (length: number) => (length + 3) & ~3
