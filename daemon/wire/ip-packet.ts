/**
 * Reads IPv4 (RFC 791), IPv6 with its extension headers (RFC 8200), TCP (RFC 9293) and UDP (RFC 768) out of
 * captured bytes: pure, nothing is copied, every slice points into `bytes`.
 *
 * Threat model: whoever may send raw packets chooses every byte. Lengths are believed only as far as bytes are
 * there; a packet that can't be read is `undefined`.
 */
export interface IpPacket {
  readonly family: 4 | 6
  /** IANA protocol number of `payload`: 6 TCP, 17 UDP. */
  readonly protocol: number
  /** Network-order bytes, 4 or 16. */
  readonly source: Buffer
  readonly destination: Buffer
  /** From the transport header on, as far as it was captured; of a fragment its piece. */
  readonly payload: Buffer
  readonly fragment?: Fragment
}

export interface Fragment {
  readonly id: number
  /** Bytes before this piece. */
  readonly offset: number
  readonly more: boolean
}

export interface TcpSegment {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sequence: number
  readonly syn: boolean
  readonly data: Buffer
}

export interface UdpDatagram {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly data: Buffer
}

export const TCP = 6
export const UDP = 17
export const ICMP = 1
export const ICMPV6 = 58

const HOP_BY_HOP = 0
const ROUTING = 43
const FRAGMENT = 44
const AUTHENTICATION = 51
const DESTINATION_OPTIONS = 60
const MOBILITY = 135
const HOST_IDENTITY = 139
const SHIM6 = 140
const EXTENSIONS: ReadonlySet<number> = new Set([
  ...[HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION],
  ...[DESTINATION_OPTIONS, MOBILITY, HOST_IDENTITY, SHIM6],
])
/** More than any stack sends; a chain of headers must not become a loop of work. */
const MOST_EXTENSIONS = 16

/** @param bytes from the first byte of the IP header on */
export function readIpPacket(bytes: Buffer): IpPacket | undefined {
  const version = (bytes[0] ?? 0) >> 4
  if (version === 4) return readIpv4(bytes)
  return version === 6 ? readIpv6(bytes) : undefined
}

function readIpv4(bytes: Buffer): IpPacket | undefined {
  if (bytes.length < 20) return undefined
  const header = (bytes.readUInt8(0) & 0x0f) * 4
  if (header < 20 || header > bytes.length) return undefined
  const total = bytes.readUInt16BE(2)
  const flags = bytes.readUInt16BE(6)
  const offset = (flags & 0x1fff) * 8
  const more = (flags & 0x2000) !== 0
  const packet = {
    family: 4,
    protocol: bytes.readUInt8(9),
    source: bytes.subarray(12, 16),
    destination: bytes.subarray(16, 20),
    // A packet that the network card is yet to cut up may say 0.
    payload: total < header ? bytes.subarray(header) : bytes.subarray(header, total),
  } as const
  if (offset === 0 && !more) return packet
  return { ...packet, fragment: { id: bytes.readUInt16BE(4), offset, more } }
}

function readIpv6(bytes: Buffer): IpPacket | undefined {
  if (bytes.length < 40) return undefined
  const length = bytes.readUInt16BE(4)
  // 0: a jumbogram (RFC 2675), which is also how Linux shows what the network card is yet to cut up.
  const body = length === 0 ? bytes.subarray(40) : bytes.subarray(40, 40 + length)
  const upper = upperLayer(bytes.readUInt8(6), body)
  return upper && { family: 6, source: bytes.subarray(8, 24), destination: bytes.subarray(24, 40), ...upper }
}

/**
 * Walks IPv6 extension headers to the transport header, or to the piece of a fragment; of a datagram that was put
 * together from fragments the same, from its first byte on.
 */
export function upperLayer(
  first: number,
  bytes: Buffer,
): Pick<IpPacket, 'protocol' | 'payload' | 'fragment'> | undefined {
  let protocol = first
  let at = 0
  for (let i = 0; i < MOST_EXTENSIONS && EXTENSIONS.has(protocol); i += 1) {
    if (at + 8 > bytes.length) return undefined
    const next = bytes.readUInt8(at)
    const size = bytes.readUInt8(at + 1)
    if (protocol === FRAGMENT) {
      const field = bytes.readUInt16BE(at + 2)
      const fragment = { id: bytes.readUInt32BE(at + 4), offset: field & 0xfff8, more: (field & 1) !== 0 }
      at += 8
      // RFC 6946: a fragment header on a whole datagram is one header more.
      if (fragment.offset > 0 || fragment.more) {
        return { protocol: next, payload: bytes.subarray(at), fragment }
      }
    } else at += protocol === AUTHENTICATION ? (size + 2) * 4 : (size + 1) * 8
    if (at > bytes.length) return undefined
    protocol = next
  }
  return { protocol, payload: bytes.subarray(at) }
}

/** `undefined` where the header isn't whole; options are skipped. */
export function readTcp(payload: Buffer): TcpSegment | undefined {
  if (payload.length < 20) return undefined
  const header = (payload.readUInt8(12) >> 4) * 4
  if (header < 20 || header > payload.length) return undefined
  return {
    sourcePort: payload.readUInt16BE(0),
    destinationPort: payload.readUInt16BE(2),
    sequence: payload.readUInt32BE(4),
    syn: (payload.readUInt8(13) & 0x02) !== 0,
    data: payload.subarray(header),
  }
}

export function readUdp(payload: Buffer): UdpDatagram | undefined {
  if (payload.length < 8) return undefined
  const length = payload.readUInt16BE(4)
  return {
    sourcePort: payload.readUInt16BE(0),
    destinationPort: payload.readUInt16BE(2),
    // 0 in a jumbogram (RFC 2675 section 4); of several datagrams sent in one call Linux shows the first's.
    data: payload.subarray(8, length < 8 ? undefined : length),
  }
}

/** Linux's cooked header (LINKTYPE_LINUX_SLL), whatever the link; its last two bytes are an ethertype. */
const COOKED_HEADER = 16
const VLAN_TAG = 4
/** 802.1Q and 802.1ad. */
const VLANS: ReadonlySet<number> = new Set([0x8100, 0x88a8])

/** From the IP header on: behind the cooked header and VLAN tags. */
export function ipOfCooked(frame: Buffer): Buffer {
  let at = COOKED_HEADER
  for (let tags = 0; tags < 2 && frame.length >= at && VLANS.has(frame.readUInt16BE(at - 2)); tags += 1)
    at += VLAN_TAG
  return frame.subarray(at)
}
