/**
 * Messages of NETLINK_ROUTE about network devices (rtnetlink(7), linux/rtnetlink.h, linux/if_link.h): pure.
 * Netlink is native-endian.
 */
import { endianness } from 'node:os'

export interface Device {
  readonly index: number
  readonly name: string
  /** `veth`, `bridge`, `macvlan` …; undefined for a device with hardware behind it. */
  readonly kind: string | undefined
  readonly up: boolean
  readonly loopback: boolean
  /** Index of the bridge, bond or VRF that it belongs to. */
  readonly master: number | undefined
}

const RTM_NEWLINK = 16
const RTM_GETLINK = 18
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_REQUEST = 1
const NLM_F_DUMP = 0x300
/** The list changed while it was read. */
const NLM_F_DUMP_INTR = 0x10
const IFLA_IFNAME = 3
const IFLA_MASTER = 10
const IFLA_LINKINFO = 18
const IFLA_INFO_KIND = 1
const IFLA_EXT_MASK = 29
const RTEXT_FILTER_SKIP_STATS = 8
const IFF_UP = 1
const IFF_LOOPBACK = 8
const NLMSG_HEADER = 16
const IFINFOMSG = 16
const ATTRIBUTE_HEADER = 4
/** The two highest bits of an attribute's type are flags. */
const TYPE = 0x3fff
const LITTLE = endianness() === 'LE'

/** Asks for all devices of this network namespace, without their statistics. */
export function formatLinkDump(sequence: number): Buffer {
  const message = Buffer.alloc(NLMSG_HEADER + IFINFOMSG + ATTRIBUTE_HEADER + 4)
  const view = viewOf(message)
  view.setUint32(0, message.length, LITTLE)
  view.setUint16(4, RTM_GETLINK, LITTLE)
  view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, LITTLE)
  view.setUint32(8, sequence, LITTLE)
  view.setUint16(NLMSG_HEADER + IFINFOMSG, ATTRIBUTE_HEADER + 4, LITTLE)
  view.setUint16(NLMSG_HEADER + IFINFOMSG + 2, IFLA_EXT_MASK, LITTLE)
  view.setUint32(NLMSG_HEADER + IFINFOMSG + ATTRIBUTE_HEADER, RTEXT_FILTER_SKIP_STATS, LITTLE)
  return message
}

export interface LinkAnswer {
  readonly devices: Device[]
  /** The dump ended with this datagram. */
  readonly done: boolean
  /** The dump is not of one moment: ask again. */
  readonly interrupted: boolean
  /** What the kernel refused with, where it did. */
  readonly errno: number | undefined
}

/** What one datagram holds of the answer to `sequence`; messages of other sequences are passed over. */
export function parseLinkAnswer(datagram: Buffer, sequence: number): LinkAnswer {
  const view = viewOf(datagram)
  const devices: Device[] = []
  let done = false
  let interrupted = false
  let errno: number | undefined
  for (let at = 0; at + NLMSG_HEADER <= datagram.length; ) {
    const length = view.getUint32(at, LITTLE)
    if (length < NLMSG_HEADER || at + length > datagram.length) break
    const type = view.getUint16(at + 4, LITTLE)
    if (view.getUint32(at + 8, LITTLE) === sequence) {
      if ((view.getUint16(at + 6, LITTLE) & NLM_F_DUMP_INTR) !== 0) interrupted = true
      if (type === NLMSG_DONE) done = true
      if (type === NLMSG_ERROR && length >= NLMSG_HEADER + 4)
        errno = -view.getInt32(at + NLMSG_HEADER, LITTLE)
      const device = type === RTM_NEWLINK && deviceOf(datagram.subarray(at + NLMSG_HEADER, at + length))
      if (device) devices.push(device)
    }
    at += aligned(length)
  }
  return { devices, done, interrupted, errno }
}

function deviceOf(body: Buffer): Device | undefined {
  if (body.length < IFINFOMSG) return undefined
  const view = viewOf(body)
  const flags = view.getUint32(8, LITTLE)
  let name: string | undefined
  let kind: string | undefined
  let master: number | undefined
  for (const [type, value] of attributes(body.subarray(IFINFOMSG))) {
    if (type === IFLA_IFNAME) name = text(value)
    if (type === IFLA_MASTER && value.length >= 4) master = viewOf(value).getUint32(0, LITTLE)
    if (type === IFLA_LINKINFO) {
      for (const [inner, content] of attributes(value)) if (inner === IFLA_INFO_KIND) kind = text(content)
    }
  }
  if (!name) return undefined
  return {
    index: view.getInt32(4, LITTLE),
    name,
    kind,
    up: (flags & IFF_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    master,
  }
}

function* attributes(bytes: Buffer): Generator<[type: number, value: Buffer]> {
  const view = viewOf(bytes)
  for (let at = 0; at + ATTRIBUTE_HEADER <= bytes.length; ) {
    const length = view.getUint16(at, LITTLE)
    if (length < ATTRIBUTE_HEADER || at + length > bytes.length) return
    yield [view.getUint16(at + 2, LITTLE) & TYPE, bytes.subarray(at + ATTRIBUTE_HEADER, at + length)]
    at += aligned(length)
  }
}

/** Netlink pads messages and attributes to four bytes. */
const aligned = (length: number) => (length + 3) & ~3
const viewOf = (bytes: Buffer) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
const text = (bytes: Buffer) => bytes.toString('latin1').split('\0', 1)[0]
