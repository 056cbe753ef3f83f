/**
 * A packet as the kernel's log hands it over (linux/netfilter/nfnetlink_log.h; pcap link type 239, DLT_NFLOG):
 * 4 bytes of header, then attributes of native-endian length and type, whose numbers are network order. Pure.
 *
 * The attributes are the kernel's own and can be trusted; the packet in them is the sender's.
 */
import { endianness } from 'node:os'

export interface LoggedPacket {
  /** AF_INET 2, AF_INET6 10; NFPROTO_NETDEV 5 from an egress chain. */
  readonly family: number
  /** What the rule writes before it, without the blank at its end. */
  readonly prefix: string
  /** NF_INET_PRE_ROUTING 0, LOCAL_IN 1, FORWARD 2, LOCAL_OUT 3, POST_ROUTING 4; other numbers for other families. */
  readonly hook: number | undefined
  /** Creator of the sending socket; absent where the packet has none (forwarded, raw frames). */
  readonly uid?: number
  readonly gid?: number
  /** Index of the device that it came in by. */
  readonly inputDevice?: number
  /** One more with each packet of this group, where numbering was asked for; modulo 2^32. */
  readonly sequence?: number
  /** From the IP header on. */
  readonly packet: Buffer
}

const HEADER = 4
const PACKET_HEADER = 1
const INPUT_DEVICE = 4
const PAYLOAD = 9
const PREFIX = 10
const UID = 11
const SEQUENCE = 12
const GID = 14
const NFPROTO_NETDEV = 5
/** Ethertype. */
const IPV4 = 0x0800
const ETHERNET_HEADER = 14
const LITTLE = endianness() === 'LE'
const u16 = (bytes: Buffer, at: number) => (LITTLE ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at))

/** `undefined` for what is cut short or carries no packet. */
export function readLoggedPacket(bytes: Buffer): LoggedPacket | undefined {
  if (bytes.length < HEADER) return undefined
  const found: { -readonly [Key in keyof LoggedPacket]?: LoggedPacket[Key] } = {
    family: bytes.readUInt8(0),
    prefix: '',
    hook: undefined,
  }
  let ethertype = 0
  for (let at = HEADER; at + 4 <= bytes.length; ) {
    const length = u16(bytes, at)
    if (length < 4 || at + length > bytes.length) return undefined
    const value = bytes.subarray(at + 4, at + length)
    // The two highest bits of a type are flags (linux/netlink.h).
    const type = u16(bytes, at + 2) & 0x3fff
    if (type === PAYLOAD) found.packet = value
    else if (type === PREFIX) found.prefix = text(value)
    else if (value.length >= 4) {
      if (type === PACKET_HEADER) {
        ethertype = value.readUInt16BE(0)
        found.hook = value.readUInt8(2)
      } else if (type === UID) found.uid = value.readUInt32BE(0)
      else if (type === GID) found.gid = value.readUInt32BE(0)
      else if (type === SEQUENCE) found.sequence = value.readUInt32BE(0)
      else if (type === INPUT_DEVICE) found.inputDevice = value.readUInt32BE(0)
    }
    at += (length + 3) & ~3
  }
  if (!found.packet) return undefined
  if (found.family === NFPROTO_NETDEV) found.packet = withoutLink(found.packet, ethertype)
  return found as LoggedPacket
}

/** An egress chain sees a frame from its link header on, which not every device has. */
function withoutLink(frame: Buffer, ethertype: number): Buffer {
  const tagged = frame.length > ETHERNET_HEADER && frame.readUInt16BE(ETHERNET_HEADER - 2) === ethertype
  return tagged && !isWhole(frame, ethertype) ? frame.subarray(ETHERNET_HEADER) : frame
}

/** Whether an IP header at the very beginning would give just this length. */
function isWhole(frame: Buffer, ethertype: number): boolean {
  const version = (frame[0] ?? 0) >> 4
  if (ethertype === IPV4) return version === 4 && frame.readUInt16BE(2) === frame.length
  return version === 6 && frame.readUInt16BE(4) + 40 === frame.length
}

function text(value: Buffer): string {
  const end = value.indexOf(0)
  return value.toString('latin1', 0, end < 0 ? value.length : end).trimEnd()
}
