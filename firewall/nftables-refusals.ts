/**
 * The refusals: chains of the inet filter hooks that refuse what the proxy should have carried. They stand twice,
 * in the fence, which outlives the daemon, and in the table that the daemon owns, which a flush can't remove.
 *
 * Threat model: every local user and every container may send what it likes, raw packets included. `ct status
 * dnat` alone says that a packet came through a redirect: the outgoing interface changes with a redirect, and a
 * mark can be set by any holder of CAP_NET_RAW.
 */
import type { Enforcement } from './enforcement.ts'
import { detours } from './nftables-detours.ts'
import { forgeries, OWN_SOURCE } from './nftables-forgeries.ts'
import {
  exemptMatches,
  governedForwarding,
  judgeSockets,
  type PresentCgroups,
  subjectMatches,
} from './nftables-senders.ts'
import {
  ENCRYPTED_DNS_PORT,
  HAS_SOCKET,
  oneOf,
  type TableText,
  TCP_OR_UDP,
  TO_PROVIDERS,
} from './nftables-text.ts'
import { counterOf, type RefusalRule, tells } from './refusal-rules.ts'

/** Port-unreachable is what every QUIC client takes for "no HTTP/3 here" at once (RFC 9000, 14.2.1). */
const UNREACHABLE = 'reject with icmpx port-unreachable'
const PROHIBITED = 'reject with icmpx admin-prohibited'
const RESET = 'reject with tcp reset'
/** Long header of QUIC v1 (RFC 9000) and v2 (RFC 9369): the two top bits, then the version. */
const QUIC_OPENING = 'meta l4proto 17 @th,64,8 & 0xc0 == 0xc0 @th,72,32 { 0x00000001, 0x6b3343cf }'
/** Neighbour and router discovery that user-space network managers send; link-local, so that no router passes it on. */
const NEIGHBOURHOOD = 'ip6 daddr { fe80::/10, ff02::/16 } icmpv6 type { 133, 134, 135, 136, 143 }'

const RULES: readonly RefusalRule[] = [
  'tcp',
  'udp',
  'quic',
  'icmp',
  'other',
  'forged',
  'dot',
  'direct',
  'bound',
  'guarded',
  'local',
  'seen-tcp',
  'seen-udp',
  'seen-quic',
  'seen-other',
]

/** With FIN, it would open a connection with some servers. */
const OPENING = 'tcp flags & (syn | ack | rst) == syn'
/** Where the sender wanted to, whatever was made of it. */
const TO_PROVIDER_AT_FIRST = TO_PROVIDERS.map((match) => `ct original ${match}`)

export interface RefusalOptions {
  /** Of the filter hooks. */
  readonly priority: number
  readonly cgroups: PresentCgroups
  /** Whether to count what passes under a fence around nothing: in one of the two tables, or it counts twice. */
  readonly counts: boolean
}

/** Counters and chains, to be declared before any rule; then the rules. */
export function refusals(
  text: TableText,
  e: Enforcement,
  { priority, cgroups, counts }: RefusalOptions,
): { declare: string[]; rules: string[] } {
  const { add } = text
  const rule = (chain: string) => (what: string) => add(`rule ${chain} ${what}`)
  const refuse = (name: RefusalRule, verdict: string) => `${tells(name, e.logGroup)} ${verdict}`
  const seeing = e.fence === 'nothing'
  const subjects = subjectMatches(e, cgroups)
  const ungoverned = ['meta skuid @proxy_uids', ...exemptMatches(e)].map((match) => `${match} accept`)
  // What stays on this machine is nobody's business but that of the local services, which have been looked at.
  const pass = ['fib daddr type local accept', ...ungoverned]

  const forged = forgeries(text, e, ungoverned)

  const declare = [
    ...RULES.map((name) => add(`counter ${counterOf(name)}`)),
    add(`chain output { type filter hook output priority ${priority}; policy accept; }`),
    add(`chain input { type filter hook input priority ${priority}; policy accept; }`),
    add(`chain forward { type filter hook forward priority ${priority}; policy accept; }`),
    ...[
      'own_tcp_output',
      'own_tcp_input',
      'own_udp_output',
      'own_udp_input',
      'guarded_output',
      'guarded_input',
      'service',
      'detour',
      'translated',
      'provider',
      'resolver',
      'outside',
      'refuse',
      'refuse_resolver',
      'refuse_local',
      'seen',
    ].map((chain) => add(`chain ${chain}`)),
    ...forged.declare,
  ]
  const judged = !seeing || counts
  const verdictChain = seeing ? 'seen' : 'refuse'
  const rules = [
    ...ownPorts(text, e),
    ...(seeing ? [] : localServices(text, e, ungoverned, subjects)),
    ...(judged
      ? [
          // Set look-ups before anything dearer: a packet to a foreign host leaves after these.
          ...TO_PROVIDERS.map((match) => add(`rule output ${match} goto provider`)),
          // Another table may have turned it away before the redirect could, to a relay for instance. What opens a
          // connection tells: what follows goes where that went.
          add(`rule output ${OPENING} jump translated`),
          add('rule output meta l4proto 17 jump translated'),
          ...TO_PROVIDER_AT_FIRST.map((what) => add(`rule translated ct status dnat ${what} goto provider`)),
        ]
      : []),
    ...detours(text, e, ungoverned, subjects, forwarded(e)),
    ...(e.resolversRefused
      ? [add(`rule output th dport ${ENCRYPTED_DNS_PORT} ${TCP_OR_UDP} goto resolver`)]
      : []),
    ...(e.fence === 'everything' ? [add('rule output goto outside')] : []),
    ...(judged ? forwarding(text, e, verdictChain) : forwardedResolvers(text, e)),

    ...pass.map(rule('provider')),
    // No `established accept` before this: keep-alives opened before the fence are reset.
    ...judgeSockets(rule('provider'), subjects, verdictChain),
    // What is left has no socket with a file: the last segments of a connection that its owner closed. Refusing
    // the proxy's own would cut its data short and count as leaks; nobody else can have established a
    // connection through this fence.
    add('rule provider meta l4proto tcp ct state established accept'),
    add(`rule provider goto ${verdictChain}`),

    ...pass.map(rule('resolver')),
    ...judgeSockets(rule('resolver'), subjects, 'refuse_resolver'),
    add('rule resolver meta l4proto tcp ct state established accept'),
    ...(subjects === 'everyone' ? [add('rule resolver goto refuse_resolver')] : []),

    ...(e.fence === 'everything' ? outside(text, e, ungoverned, subjects) : []),
    ...forged.rules,

    add(`rule refuse_resolver meta l4proto tcp ${refuse('dot', RESET)}`),
    add(`rule refuse_resolver ${refuse('dot', UNREACHABLE)}`),
    add(`rule refuse_local ${refuse('local', RESET)}`),

    add(`rule refuse meta l4proto tcp ${refuse('tcp', RESET)}`),
    add(`rule refuse udp dport 443 ${refuse('quic', UNREACHABLE)}`),
    add(`rule refuse ${QUIC_OPENING} ${refuse('quic', UNREACHABLE)}`),
    add(`rule refuse meta l4proto 17 ${refuse('udp', UNREACHABLE)}`),
    // Providers answer no questions by ICMP; past a fence around everything it would carry what one likes.
    add(
      `rule refuse meta l4proto { 1, 58 } ${e.fence === 'everything' ? refuse('icmp', PROHIBITED) : 'accept'}`,
    ),
    add(`rule refuse ${refuse('other', PROHIBITED)}`),

    // Once a connection, not once a packet.
    add(`rule seen ct state != new accept`),
    add(`rule seen meta l4proto tcp ${refuse('seen-tcp', 'accept')}`),
    add(`rule seen udp dport 443 ${refuse('seen-quic', 'accept')}`),
    add(`rule seen meta l4proto 17 ${refuse('seen-udp', 'accept')}`),
    add(`rule seen meta l4proto != { 1, 58 } ${refuse('seen-other', 'accept')}`),
  ]
  return { declare, rules }
}

/**
 * The gateway's own listeners: the proxy's and the DNS guard's take what was redirected, guarded ones their users. By
 * a map, so that every other packet leaves after one look-up.
 */
function ownPorts({ add }: TableText, e: Enforcement): string[] {
  const refuse = (rule: RefusalRule, verdict: string) => `${tells(rule, e.logGroup)} ${verdict}`
  const dns = e.dnsPort === undefined ? [] : [e.dnsPort]
  const guarded = e.guardedPorts.map(({ port }) => port)
  const sort = (protocol: 'tcp' | 'udp', own: readonly number[]) =>
    ['output', 'input'].map((hook) => {
      const to = (port: number, chain: string) => `${port} : jump ${chain}_${hook}`
      const entries = [
        ...own.map((port) => to(port, `own_${protocol}`)),
        ...(protocol === 'tcp' ? guarded : []).map((port) => to(port, 'guarded')),
      ]
      return add(`rule ${hook} ${protocol} dport vmap { ${entries.join(', ')} }`)
    })
  const listener = (protocol: 'tcp' | 'udp', verdict: string) => [
    // A socket bound to an interface (SO_BINDTODEVICE) keeps its route after a redirect and would send into
    // the void, where its owner waits for a timeout: redirected, but not on its way to this machine.
    ...['ip nexthop != 127.0.0.1', 'ip6 nexthop != ::1'].map((route) =>
      add(`rule own_${protocol}_output ct status dnat rt ${route} ${refuse('bound', verdict)}`),
    ),
    add(`rule own_${protocol}_output fib daddr type local ct status dnat accept`),
    add(`rule own_${protocol}_output fib daddr type local ${refuse('direct', verdict)}`),
    add(`rule own_${protocol}_input ct status dnat accept`),
    add(`rule own_${protocol}_input ${refuse('direct', verdict)}`),
  ]
  return [
    ...sort('tcp', [e.redirectPort, ...dns]),
    ...(dns.length > 0 ? sort('udp', dns) : []),
    ...listener('tcp', RESET),
    ...(dns.length > 0 ? listener('udp', UNREACHABLE) : []),
    ...e.guardedPorts.flatMap(({ port, uids }) => [
      add(
        `rule guarded_output tcp dport ${port} fib daddr type local ${notOneOf(uids)}${refuse('guarded', RESET)}`,
      ),
      add(`rule guarded_input iifname != "lo" tcp dport ${port} ${refuse('guarded', RESET)}`),
    ]),
  ]
}

/** Local services that are to be captured: what comes to them otherwise than through the proxy was not redirected. */
function localServices(
  { add }: TableText,
  e: Enforcement,
  pass: readonly string[],
  subjects: 'everyone' | string[],
): string[] {
  if (e.localPorts.length === 0) return []
  const rule = (what: string) => add(`rule service ${what}`)
  const calls = `tcp dport ${oneOf(e.localPorts)} fib daddr type local ct direction original`
  return [
    add(`rule output ${calls} goto service`),
    ...(e.bridges.length > 0 ? [add(`rule input iifname @bridges ${calls} goto refuse_local`)] : []),
    ...pass.map(rule),
    ...judgeSockets(rule, subjects, 'refuse_local'),
    // As in `provider`: last segments pass, openings without a socket don't.
    rule('ct state established accept'),
    rule('goto refuse_local'),
  ]
}

/** What rules about governed forwarding begin with; undefined where none is governed. */
function forwarded(e: Enforcement): string | undefined {
  return { all: '', bridges: 'iifname @bridges ', nothing: undefined }[governedForwarding(e)]
}

/** Whatever the machine routes for others (containers, guests, tunnels) has no uid and no exemption. */
function forwarding({ add }: Pick<TableText, 'add'>, e: Enforcement, verdict: string): string[] {
  const from = forwarded(e)
  if (from === undefined) return []
  return [
    ...TO_PROVIDERS.map((match) => add(`rule forward ${from}${match} goto ${verdict}`)),
    ...TO_PROVIDER_AT_FIRST.map((what) =>
      add(`rule forward ${from}ct status dnat ct direction original ${what} goto ${verdict}`),
    ),
    ...forwardedResolvers({ add }, e),
    ...(e.fence === 'everything'
      ? [
          // From container to container, and answers to those who called a container from outside.
          add('rule forward oifname @bridges accept'),
          add('rule forward ct direction reply ct state established,related accept'),
          add('rule forward ct state related accept'),
          add(`rule forward ${from}goto ${verdict}`),
        ]
      : []),
  ]
}

function forwardedResolvers({ add }: Pick<TableText, 'add'>, e: Enforcement): string[] {
  const from = forwarded(e)
  if (!e.resolversRefused || from === undefined) return []
  return [
    add(
      `rule forward ${from}oifname != @bridges ${TCP_OR_UDP} th dport ${ENCRYPTED_DNS_PORT} goto refuse_resolver`,
    ),
  ]
}

/** With a fence around everything: what a governed socket may still send to other machines than LLM providers. */
function outside(
  { add }: TableText,
  e: Enforcement,
  ungoverned: readonly string[],
  subjects: 'everyone' | string[],
): string[] {
  const rule = (what: string) => add(`rule outside ${what}`)
  return [
    rule('fib daddr type local goto home'),
    ...ungoverned.map(rule),
    // Answers to those who called: a server stays a server.
    rule(`ct direction reply ct state established,related ${OWN_SOURCE} accept`),
    ...e.allowed
      .filter(({ ports, uids }) => ports.length > 0 && uids.length > 0)
      .map(({ protocol, ports, uids }) =>
        rule(`${protocol} dport ${oneOf(ports)} meta skuid ${oneOf(uids)} accept`),
      ),
    rule(`${HAS_SOCKET} ${NEIGHBOURHOOD} accept`),
    ...judgeSockets(rule, subjects, 'refuse'),
    ...(subjects === 'everyone'
      ? [
          // The kernel's own, without a socket that a process holds: errors, path MTU, neighbours, multicast
          // membership; resets and last segments, but no opening of a connection.
          rule('meta l4proto { 1, 2, 58 } accept'),
          rule('meta l4proto tcp tcp flags & syn == 0 accept'),
          rule('goto refuse'),
        ]
      : []),
  ]
}

/** Matches every sender but these users; every sender where there are none. */
function notOneOf(uids: readonly number[]): string {
  return uids.length === 0 ? '' : `meta skuid != { ${uids.join(', ')} } `
}
