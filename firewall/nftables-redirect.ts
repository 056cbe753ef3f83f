/**
 * The redirect: nat chains that turn connections of the governed to the proxy and their DNS to the guard, under a
 * lease; and what only makes sense beside it.
 *
 * Only a lone SYN is redirected: where conntrack starts with these rules, it picks connections up in their middle
 * as new ones, and redirecting those would cut every foreign connection on port 443 at installation.
 */
import type { Enforcement } from './enforcement.ts'
import { NEAR4, NEAR6 } from './near-addresses.ts'
import { cutting } from './nftables-cuts.ts'
import { exemptMatches, judgeSockets, type PresentCgroups, subjectMatches } from './nftables-senders.ts'
import { ENCRYPTED_DNS_PORT, oneOf, SYN, type TableText, TCP_OR_UDP, TO_PROVIDERS } from './nftables-text.ts'
import { counterOf, tells } from './refusal-rules.ts'

/** The redirect stands while the packet's protocol is an element of the lease, which runs out by itself. */
const LEASED = 'meta l4proto @lease'
/**
 * The first that translates a connection decides where it goes, and kernels take no nat chain at or before conntrack's
 * -200: so this comes before everybody who keeps to the customary -100 (dstnat), as Docker, firewalld and kube-proxy do.
 */
const TRANSLATION = -199
/** Right after the copy of the refusals. */
const LATE = 12
/** Before other tables' filters: what they drop is still an answer that the client asked for. */
const EARLY = -150
/** The first bytes of an answer that a name and its addresses can't exceed (RFC 6891 recommends 1,232 at most). */
const DNS_SNAPLEN = 4096

/** Commands that renew the lease, in one transaction with whatever stands beside them. */
export function renewLease(text: TableText, leaseMs: number): string[] {
  // 6 and 17: the lease of TCP (proxy) and of UDP (DNS guard).
  return text.replace('lease', [`6 timeout ${leaseMs}ms`, `17 timeout ${leaseMs}ms`])
}

export function redirection(
  text: TableText,
  e: Enforcement,
  cgroups: PresentCgroups,
): { declare: string[]; rules: string[] } {
  const { add } = text
  const ungoverned = ['meta skuid @proxy_uids', ...exemptMatches(e)].map((match) => `${match} accept`)
  const subjects = subjectMatches(e, cgroups)
  const cuts = mayCut(e) ? cutting(text, e.logGroup, ungoverned) : { declare: [], rules: [] }
  const rule = (chain: string) => (what: string) => add(`rule ${chain} ${what}`)
  const toProxy = `counter name redirected redirect to :${e.redirectPort}`
  const service =
    e.localPorts.length > 0 ? [`tcp dport ${oneOf(e.localPorts)} fib daddr type local ${toProxy}`] : []
  const resolver =
    e.dnsPort === undefined
      ? []
      : [`${TCP_OR_UDP} th dport 53 counter name redirected_dns redirect to :${e.dnsPort}`]
  return {
    declare: [
      add('counter redirected'),
      add('counter redirected_dns'),
      add(`counter ${counterOf('unredirected')}`),
      add(`counter ${counterOf('cut')}`),
      add('set lease { type inet_proto; flags timeout; }'),
      add(`chain nat_output { type nat hook output priority ${TRANSLATION}; policy accept; }`),
      add(`chain nat_prerouting { type nat hook prerouting priority ${TRANSLATION}; policy accept; }`),
      add(`chain late_output { type filter hook output priority ${LATE}; policy accept; }`),
      add(`chain late_forward { type filter hook forward priority ${LATE}; policy accept; }`),
      add(`chain answers_in { type filter hook input priority ${EARLY}; policy accept; }`),
      add(`chain answers_through { type filter hook forward priority ${EARLY}; policy accept; }`),
      ...[
        'sent',
        'opening',
        'brought',
        'capture',
        'slipped',
        'slipped_sender',
        'slipped_through',
        'slipped_routed',
        'slipped_refuse',
      ].map((chain) => add(`chain ${chain}`)),
      ...cuts.declare,
    ],
    rules: [
      ...candidates(e).map((match) => rule('nat_output')(`${match} goto sent`)),
      ...ungoverned.map(rule('sent')),
      add(`rule sent ${LEASED} goto opening`),
      ...candidates(e).map((match) => rule('nat_prerouting')(`${match} goto brought`)),
      add(`rule brought iifname @bridges ${LEASED} goto capture`),
      ...judgeOpenings(rule('opening'), e, subjects, 'capture'),

      ...service.map((what) => add(`rule capture ${SYN} ${what}`)),
      add('rule capture fib daddr type local accept'),
      ...resolver.map(rule('capture')),
      ...scope(e).flatMap((match) =>
        match.verdict === 'accept'
          ? [add(`rule capture ${match.what} accept`)]
          : [add(`rule capture ${SYN} ${match.what} ${toProxy}`)],
      ),

      ...cuts.rules,
      ...unredirected(text, e, ungoverned, subjects),
      ...(e.dnsPort === undefined ? answers(text, e) : []),
    ],
  }
}

/** With a fence around everything nothing leaves that could be cut; with one around nothing, nothing is refused. */
export const mayCut = ({ fence }: Pick<Enforcement, 'fence'>) => fence === 'providers'

/** Whatever a redirect might take, whoever sends it, by what is cheap to ask: other connections leave after these. */
function candidates(e: Enforcement): string[] {
  const ports = [...new Set([...(e.redirect === 'ports' ? e.ports : []), ...e.localPorts])].sort(
    (a, b) => a - b,
  )
  return [
    ...(e.dnsPort === undefined ? [] : [`th dport 53 ${TCP_OR_UDP}`]),
    ...(e.redirect === 'all'
      ? ['meta l4proto 6']
      : [
          ...(ports.length > 0 ? [`tcp dport ${oneOf(ports)}`] : []),
          ...TO_PROVIDERS.map((match) => `${match} meta l4proto 6`),
        ]),
  ]
}

/** TCP that is redirected, in the order of judgement; what is never redirected and providers before all. */
function scope(e: Enforcement): { what: string; verdict: 'redirect' | 'accept' }[] {
  const redirect = (what: string) => ({ what, verdict: 'redirect' as const })
  const never = (what: string) => ({ what, verdict: 'accept' as const })
  return [
    never(`ip daddr ${oneOf(NEAR4)}`),
    never(`ip6 daddr ${oneOf(NEAR6)}`),
    ...TO_PROVIDERS.map(redirect),
    ...(e.ports.length > 0 ? [redirect(`tcp dport ${oneOf(e.ports)}`)] : []),
    ...(e.redirect === 'all'
      ? [
          ...e.allowed
            .filter(({ protocol, ports, uids }) => protocol === 'tcp' && ports.length > 0 && uids.length > 0)
            .map(({ ports, uids }) => never(`tcp dport ${oneOf(ports)} meta skuid ${oneOf(uids)}`)),
          // Encrypted DNS is refused by address and port, see nftables-refusals.ts.
          ...(e.resolversRefused ? [never(`tcp dport ${ENCRYPTED_DNS_PORT}`)] : []),
          redirect('meta l4proto 6'),
        ]
      : []),
  ]
}

/**
 * Who may send raw packets can make conntrack know a connection before its SYN (an ACK that dies on the way will
 * do), and so keep the nat chains from seeing it as new. What the redirect takes and didn't get is refused.
 */
function unredirected(
  { add }: TableText,
  e: Enforcement,
  ungoverned: readonly string[],
  subjects: 'everyone' | string[],
): string[] {
  if (e.fence === 'nothing') return []
  const rule = (chain: string) => (what: string) => add(`rule ${chain} ${what}`)
  // With FIN, which the redirect leaves out, it would open a connection with some servers. The flags first: most
  // packets leave after them.
  const opening = `tcp flags & (syn | ack | rst) == syn ${LEASED}`
  // Another table's translation took it first, as for services of a cluster: root's own rules. What was on its way
  // to a provider doesn't come this far (nftables-refusals.ts).
  const translated = 'ct status dnat accept'
  // Datagrams have no opening: a question from a port that is known since before the start, or since the guard asked from
  // it, is no new connection. A fence around everything refuses it anyway.
  const question =
    e.dnsPort === undefined || e.fence === 'everything'
      ? undefined
      : `th dport 53 ${TCP_OR_UDP} ${LEASED} ct direction original`
  const inScope = (chain: string, target: string) =>
    scope(e).map(({ what, verdict }) =>
      rule(chain)(`${what} ${verdict === 'accept' ? 'accept' : `goto ${target}`}`),
    )
  return [
    add(`rule late_output ${opening} goto slipped`),
    ...inScope('slipped', 'slipped_sender'),
    ...[translated, ...ungoverned, 'fib daddr type local accept'].map(rule('slipped_sender')),
    ...judgeOpenings(rule('slipped_sender'), e, subjects, 'slipped_refuse'),

    ...(question === undefined ? [] : [add(`rule late_output ${question} goto slipped_sender`)]),
    ...(question !== undefined && e.bridges.length > 0
      ? [add(`rule late_forward ${question} iifname @bridges goto slipped_routed`)]
      : []),

    ...(e.bridges.length > 0
      ? [add(`rule late_forward ${opening} iifname @bridges goto slipped_through`)]
      : []),
    ...inScope('slipped_through', 'slipped_routed'),
    ...[translated, 'goto slipped_refuse'].map(rule('slipped_routed')),

    add(`rule slipped_refuse meta l4proto tcp ${tells('unredirected', e.logGroup)} reject with tcp reset`),
    add(`rule slipped_refuse ${tells('unredirected', e.logGroup)} reject with icmpx port-unreachable`),
  ]
}

/**
 * Sends the openings of governed sockets to `target`, and those without a socket that a process holds: all of
 * them where everybody is governed, else those to the ports of the web, where the kernel itself calls nobody.
 */
function judgeOpenings(
  rule: (what: string) => string,
  e: Enforcement,
  subjects: 'everyone' | string[],
  target: string,
): string[] {
  if (subjects === 'everyone') return [rule(`goto ${target}`)]
  const web = e.ports.length > 0 ? [rule(`tcp dport ${oneOf(e.ports)} goto ${target}`)] : []
  return [...judgeSockets(rule, subjects, target), ...web]
}

/** Answers of resolvers, before the client gets them: where the addresses of LLM providers are learned from. */
function answers({ add }: TableText, e: Enforcement): string[] {
  const copy = `th sport 53 ${TCP_OR_UDP} log prefix "aa:dns " group ${e.dnsLogGroup} snaplen ${DNS_SNAPLEN}`
  return ['answers_in', 'answers_through'].map((chain) => add(`rule ${chain} ${copy}`))
}
