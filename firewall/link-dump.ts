/**
 * Messages of NETLINK_ROUTE about network devices (rtnetlink(7), linux/rtnetlink.h, linux/if_link.h): pure.
 */
import {
  attribute,
  attributesOf,
  errnoOf,
  LITTLE,
  messageOf,
  messagesOf,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  viewOf,
} from './netlink-message.ts'

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
const NLMSG_DONE = 3
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
const IFINFOMSG = 16

/** Asks for all devices of this network namespace, without their statistics. */
export function formatLinkDump(sequence: number): Buffer {
  const mask = Buffer.alloc(4)
  viewOf(mask).setUint32(0, RTEXT_FILTER_SKIP_STATS, LITTLE)
  const body = Buffer.concat([Buffer.alloc(IFINFOMSG), attribute(IFLA_EXT_MASK, mask)])
  return messageOf({ type: RTM_GETLINK, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence, body })
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
  const devices: Device[] = []
  let done = false
  let interrupted = false
  let errno: number | undefined
  for (const { type, flags, sequence: of, body } of messagesOf(datagram)) {
    if (of !== sequence) continue
    if ((flags & NLM_F_DUMP_INTR) !== 0) interrupted = true
    if (type === NLMSG_DONE) done = true
    if (type === NLMSG_ERROR) errno = errnoOf(body)
    const device = type === RTM_NEWLINK && deviceOf(body)
    if (device) devices.push(device)
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
  for (const [type, value] of attributesOf(body.subarray(IFINFOMSG))) {
    if (type === IFLA_IFNAME) name = text(value)
    if (type === IFLA_MASTER && value.length >= 4) master = viewOf(value).getUint32(0, LITTLE)
    if (type === IFLA_LINKINFO) {
      for (const [inner, content] of attributesOf(value)) if (inner === IFLA_INFO_KIND) kind = text(content)
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

const text = (bytes: Buffer) => bytes.toString('latin1').split('\0', 1)[0]
