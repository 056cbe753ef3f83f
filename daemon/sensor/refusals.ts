/** What the kernel's log says of packets that the rules refused, or saw pass where nothing is refused. */
import { addressText } from '../../firewall/ip-address.ts'
import { ICMP, ICMPV6, type IpPacket, TCP, UDP } from '../wire/ip-packet.ts'
import type { LoggedPacket } from '../wire/nflog.ts'
import type { Observed } from './tally.ts'

const PREFIX = 'aa:'
const RULE = /^[a-z][a-z0-9-]{0,31}$/
/** Rules of a policy that refuses nothing: what they saw went out. */
const SEEN = 'seen-'
const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [ICMP, 'icmp'],
  [TCP, 'tcp'],
  [UDP, 'udp'],
  [33, 'dccp'],
  [47, 'gre'],
  [50, 'esp'],
  [51, 'ah'],
  [ICMPV6, 'icmpv6'],
  [132, 'sctp'],
  [136, 'udplite'],
])
/** Whose header begins with two ports. */
const WITH_PORTS: ReadonlySet<number> = new Set([TCP, UDP, 33, 132, 136])
const NOWHERE = { address: '0.0.0.0', port: 0 }

/** @param packet what the log carries, undefined where it is no IP packet */
export function refusal({ prefix, uid, gid }: LoggedPacket, packet: IpPacket | undefined): Observed {
  const named = prefix.startsWith(PREFIX) ? prefix.slice(PREFIX.length) : ''
  const rule = RULE.test(named) ? named : 'unknown'
  const who = { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) }
  const kind = rule.startsWith(SEEN) ? 'leak' : 'refused'
  if (!packet) return { kind, rule, protocol: 'frame', destination: NOWHERE, via: 'kernel', ...who }
  const ports = portsOf(packet)
  const source = { address: addressText(packet.source), port: ports?.sourcePort ?? 0 }
  return {
    kind,
    rule,
    protocol: protocolOf(rule, packet),
    destination: { address: addressText(packet.destination), port: ports?.destinationPort ?? 0 },
    via: 'kernel',
    client: source,
    ...who,
  }
}

function protocolOf(rule: string, { protocol }: IpPacket): string {
  if (protocol === UDP && (rule === 'quic' || rule === `${SEEN}quic`)) return 'quic'
  return PROTOCOLS.get(protocol) ?? `ip-${protocol}`
}

function portsOf({ protocol, payload, fragment }: IpPacket) {
  if (fragment !== undefined && fragment.offset > 0) return undefined
  if (!WITH_PORTS.has(protocol) || payload.length < 4) return undefined
  return { sourcePort: payload.readUInt16BE(0), destinationPort: payload.readUInt16BE(2) }
}
