/** Packets and frames of one's own making: to providers, from ports of their own. */
import { ANTHROPIC, LINK, OPENAI, UNLISTED } from '../../lab/addresses.ts'
import { type Packet, rawPacket } from './packets.ts'

/** Flags of a TCP segment (RFC 9293 section 3.1). */
const [SYN, ACK] = [0x02, 0x10]

let lastPort = 41_000
/** Ends of a packet from `host` to a site, from a port of its own. */
export function ends(
  family: 4 | 6,
  site = OPENAI,
): Pick<Packet, 'source' | 'address' | 'sourcePort' | 'gateway'> {
  const sourcePort = ++lastPort
  return family === 4
    ? { source: LINK.host4, address: site.address4, gateway: LINK.internet4, sourcePort }
    : { source: LINK.host6, address: site.address6, gateway: LINK.internet6, sourcePort }
}
export const families = [4, 6] as const

/** Whole packets by root: to providers, and to an address that nobody knows yet, its connection feigned first. */
export const madePackets = (): string[][] => [
  ...families.flatMap((family) => [
    rawPacket({ how: 'hdrincl', what: 'syn', port: 443, ...ends(family) }),
    rawPacket({ how: 'hdrincl', what: 'udp', port: 443, text: 'raw', ...ends(family, ANTHROPIC) }),
    rawPacket({ how: 'hdrincl', what: 'syn', flags: ACK, port: 443, ...ends(family) }),
  ]),
]

/** An acknowledgement first, which nobody answers: connection tracking takes what follows for more of a connection. */
export function feigned(): string[][] {
  return families.flatMap((family) => {
    const where = ends(family, UNLISTED)
    return [ACK, SYN].map((flags) =>
      rawPacket({ how: 'hdrincl', what: 'syn', flags, corrupt: flags === ACK, port: 443, ...where }),
    )
  })
}

/** Every door that CAP_NET_RAW opens below the IP stack, in both families, and a datagram. */
export function everyFrame(
  device = 'eth0',
  from: (family: 4 | 6) => ReturnType<typeof ends> = ends,
): Packet[] {
  const ways = ['packet', 'bypass', 'datagram', 'disguised', 'tagged', 'xdp'] as const
  return [
    ...ways.flatMap((how) => families.map((family) => syn(how, device, from(family)))),
    ...families.map((family) => ({
      ...syn('packet', device, from(family)),
      what: 'udp' as const,
      text: 'raw',
    })),
  ]
}

function syn(how: NonNullable<Packet['how']>, device: string, where: ReturnType<typeof ends>): Packet {
  return { how, what: 'syn', port: 443, device, ...where }
}
