/**
 * The last look, at the device: chains of the netdev egress hook against senders that pass the IP stack's hooks
 * by. Measured on Linux 6.18; conntrack and control groups can't be asked here.
 *
 * Threat model: container root with CAP_NET_RAW on the host's network, on macvlan or on ipvlan. What tells packets
 * apart is what the sender can't set: a packet of the machine's own stack was routed, so it has a realm (0 where
 * none is configured), and a socket of this network namespace has a user.
 *
 *     socket, routed       the machine's own stack: the inet hooks have judged it
 *     socket, not routed   AF_PACKET, also with PACKET_QDISC_BYPASS
 *     no socket, routed    forwarded; the kernel's own; last segments; macvlan and ipvlan of other namespaces
 *     neither              raw frames of macvlan and ipvlan; frames that a bridge passes on
 *
 * AF_XDP doesn't come by here: see xdp-queues.ts.
 */
import type { Enforcement } from './enforcement.ts'
import { governedForwarding } from './nftables-senders.ts'
import {
  FRAMES_TO_PROVIDERS,
  HAS_SOCKET,
  oneOf,
  SYN,
  type TableText,
  WAS_ROUTED,
  WELL_KNOWN_NAT64,
} from './nftables-text.ts'
import { counterOf, type RefusalRule, tells } from './refusal-rules.ts'

const RULES: readonly RefusalRule[] = [
  'egress-tcp',
  'egress-udp',
  'egress-other',
  'egress-frame',
  'seen-egress',
]

/**
 * Frames that carry IP and don't say so: receivers take a priority tag (VLAN 0, IEEE 802.1Q) for none, unpack
 * tags, PPPoE sessions (RFC 2516) and SNAP (RFC 1042), and the protocol that AF_PACKET notes beside a frame is the
 * sender's choice. Byte 12 of an Ethernet frame is its type; devices without Ethernet headers don't match.
 */
const TAGS = '{ 0x8100, 0x88a8, 0x9100 }'
const HIDDEN_IP = [
  '@ll,96,16 { 0x0800, 0x86dd } meta protocol != { ip, ip6 }',
  `@ll,96,16 ${TAGS} @ll,128,16 { 0x0800, 0x86dd, 0x8100, 0x88a8, 0x9100, 0x8864 }`,
  '@ll,96,16 0x8864 @ll,160,16 { 0x0021, 0x0057 }',
  '@ll,112,64 { 0xaaaa030000000800, 0xaaaa0300000086dd }',
]
const IP = 'meta protocol { ip, ip6 }'
const FRAGMENT = ['ip frag-off & 0x3fff != 0', 'exthdr frag exists']

export function egressChains(text: TableText, e: Enforcement): { declare: string[]; rules: string[] } {
  const { add } = text
  const rule = (chain: string) => (what: string) => add(`rule ${chain} ${what}`)
  const seeing = e.fence === 'nothing'
  const tell = (name: RefusalRule) => tells(seeing ? 'seen-egress' : name, e.logGroup)
  const verdict = seeing ? 'accept' : 'drop'
  const refuse = [
    // As the inet hooks judge it.
    ...(e.fence === 'everything' ? [] : ['meta l4proto { 1, 58 } accept']),
    `meta l4proto 6 ${tell('egress-tcp')} ${verdict}`,
    `meta l4proto 17 ${tell('egress-udp')} ${verdict}`,
    `${tell('egress-other')} ${verdict}`,
  ]
  const hidden = (chain: string) =>
    HIDDEN_IP.map((match) => rule(chain)(`${match} ${tell('egress-frame')} ${verdict}`))
  return {
    declare: [
      ...RULES.map((name) => add(`counter ${counterOf(name)}`)),
      ...['judge', 'raw', 'raw_governed', 'socketless', 'routed', 'refuse'].map((chain) =>
        add(`chain ${chain}`),
      ),
    ],
    rules: [
      add(`rule judge ${HAS_SOCKET} ${WAS_ROUTED} accept`),
      add(`rule judge ${HAS_SOCKET} goto raw`),
      add('rule judge goto socketless'),

      add('rule raw meta skuid @proxy_uids accept'),
      add('rule raw meta skuid @exempt_uids accept'),
      add('rule raw meta skgid @exempt_gids accept'),
      ...rawSenders(e).map(rule('raw')),
      ...hidden('raw_governed'),
      // Who makes frames of his own needs no translator for an honest purpose.
      ...[...FRAMES_TO_PROVIDERS, WELL_KNOWN_NAT64].map((match) =>
        rule('raw_governed')(`${match} goto refuse`),
      ),
      ...(seeing ? [] : rawTraffic(e).map(rule('raw_governed'))),

      ...(governedForwarding(e) === 'all'
        ? [
            add(`rule socketless ${WAS_ROUTED} goto routed`),
            ...hidden('socketless'),
            ...FRAMES_TO_PROVIDERS.map((match) => rule('socketless')(`${match} goto refuse`)),
            ...(e.fence === 'everything' ? unrouted().map(rule('socketless')) : []),
            // The last segments of the proxy's connections, which its own side has closed.
            ...FRAMES_TO_PROVIDERS.map((match) =>
              rule('routed')(`${match} tcp flags & syn == 0 fib saddr type local accept`),
            ),
            ...FRAMES_TO_PROVIDERS.map((match) => rule('routed')(`${match} goto refuse`)),
            ...(e.fence === 'everything' ? routed().map(rule('routed')) : []),
          ]
        : []),
      ...refuse.map(rule('refuse')),
    ],
  }
}

/** Whose raw frames are governed. A control group can't be asked for here: with one among the subjects, everybody's. */
function rawSenders({ subjects }: Enforcement): string[] {
  if (subjects === 'everyone' || subjects.cgroups.length > 0) return ['goto raw_governed']
  return ['meta skuid @subject_uids goto raw_governed', 'meta skgid @subject_gids goto raw_governed']
}

/** What raw frames of the governed may not be, besides addressed to providers. */
function rawTraffic(e: Enforcement): string[] {
  if (e.fence === 'everything') {
    return [
      ...e.allowed
        .filter(({ ports, uids }) => ports.length > 0 && uids.length > 0)
        .map(
          ({ protocol, ports, uids }) => `${protocol} dport ${oneOf(ports)} meta skuid ${oneOf(uids)} accept`,
        ),
      `${IP} goto refuse`,
    ]
  }
  const ports = e.redirect === 'all' ? '' : e.ports.length > 0 ? `tcp dport ${oneOf(e.ports)} ` : undefined
  return [
    // In pieces, the flags of a segment can't be seen.
    ...FRAGMENT.map((match) => `${match} goto refuse`),
    ...(ports === undefined ? [] : [`${ports}${SYN} goto refuse`]),
    'udp dport 443 goto refuse',
  ]
}

/** With a fence around everything, frames of unknown origin: no opening of a connection, no datagram. */
function unrouted(): string[] {
  return [
    ...FRAGMENT.map((match) => `${match} goto refuse`),
    'meta l4proto 6 tcp flags & syn == 0 accept',
    ...ECHO.map((match) => `${match} goto refuse`),
    'meta l4proto { 1, 2, 58 } accept',
    `${IP} goto refuse`,
  ]
}

/** With a fence around everything, routed packets without a socket: the kernel's own, and answers passed on. */
function routed(): string[] {
  return [
    `${SYN} goto refuse`,
    'meta l4proto 6 accept',
    'fib saddr type local accept',
    ...ECHO.map((match) => `${match} goto refuse`),
    'meta l4proto { 1, 2, 58 } accept',
    `${IP} goto refuse`,
  ]
}

const ECHO = ['icmp type echo-request', 'icmpv6 type echo-request']
