/**
 * nftables text for an {@link Enforcement}: pure, with stable output, one command a line (so that the same
 * text serves `nft -f` and the interactive nft that owns the redirect). Written for nft 1.0.6 and later.
 *
 * Two tables. `aa_fence` outlives the daemon and refuses LLM traffic that the proxy doesn't carry;
 * `aa_redirect` is owned by a child of the daemon and vanishes with it, so that with the daemon dead LLM
 * traffic meets the fence and everything else flows directly.
 *
 * Threat model: every local user and every container may send what it likes. Senders are told apart by the
 * uid of the socket's creator, never by a packet mark (CAP_NET_RAW can set those) and never by the outgoing
 * interface (a redirect changes it). `ct status dnat` alone says that a connection came through a redirect.
 */
import type { Enforcement } from './enforcement.ts'
import { validateAddresses, validateEnforcement } from './enforcement.ts'

export const FENCE_TABLE = 'aa_fence'
export const REDIRECT_TABLE = 'aa_redirect'

/** What the fence refuses, one named counter each. */
const FENCE_COUNTERS = [
  'bound_device',
  'direct_dial',
  'guarded_port',
  'refused_other',
  'refused_quic',
  'refused_tcp',
  'refused_udp',
]

/** A lone SYN: what is redirected is the opening of a connection, see {@link renderRedirect}. */
const SYN = 'tcp flags & (fin | syn | rst | ack) == syn'

/**
 * The whole fence as one transaction that also replaces an earlier one in place: chains and counters stay,
 * rules and elements change in the same commit, so that no packet ever finds the fence open and no count is lost.
 * @throws FirewallError `invalid-enforcement`
 */
export function renderFence(enforcement: Enforcement): string {
  const e = validateEnforcement(enforcement)
  const add = (what: string) => `add ${what.replace(' ', ` inet ${FENCE_TABLE} `)}`
  const log = (prefix: string) => `log prefix "aa:${prefix} " group ${e.logGroup}`
  const refuse = (counter: string, prefix: string, verdict: string) =>
    `counter name ${counter} ${log(prefix)} ${verdict}`
  const reset = 'reject with tcp reset'
  const proxy = `tcp dport ${e.redirectPort}`
  return script([
    `add table inet ${FENCE_TABLE}`,
    ...FENCE_COUNTERS.map((name) => add(`counter ${name}`)),
    add('set exempt_uids { type uid; }'),
    add('set llm4 { type ipv4_addr; }'),
    add('set llm6 { type ipv6_addr; }'),
    // After other tables' filters (0): an accept there can't shorten this one, and their drops stay theirs.
    add('chain output { type filter hook output priority 10; policy accept; }'),
    add('chain input { type filter hook input priority 10; policy accept; }'),
    add('chain forward { type filter hook forward priority 10; policy accept; }'),
    // Empty on purpose: while any nat chain stands, the kernel goes on translating connections that were
    // redirected, so those under way survive a restart of the redirect's owner.
    add('chain keep_nat { type nat hook output priority -90; policy accept; }'),
    add('chain provider'),
    add('chain refuse'),
    `flush table inet ${FENCE_TABLE}`,
    ...['exempt_uids', 'llm4', 'llm6'].map((set) => `flush set inet ${FENCE_TABLE} ${set}`),
    ...elements(FENCE_TABLE, 'exempt_uids', e.exemptUids),
    ...elements(FENCE_TABLE, 'llm4', e.addresses4),
    ...elements(FENCE_TABLE, 'llm6', e.addresses6),

    // A socket bound to an interface (SO_BINDTODEVICE) keeps its route after a redirect and would send into
    // the void, where its owner waits for a timeout: redirected, but not on its way to this machine.
    ...(['ip nexthop != 127.0.0.1', 'ip6 nexthop != ::1'] as const).map((route) =>
      add(`rule output ${proxy} ct status dnat rt ${route} ${refuse('bound_device', 'bound', reset)}`),
    ),
    add(`rule output ${proxy} fib daddr type local ct status dnat accept`),
    add(`rule output ${proxy} fib daddr type local ${refuse('direct_dial', 'direct', reset)}`),
    ...e.guardedPorts.map(({ port, uids }) =>
      add(
        `rule output tcp dport ${port} fib daddr type local ${notOneOf(uids)}${refuse('guarded_port', 'guarded', reset)}`,
      ),
    ),
    // Set look-ups before anything dearer: a packet to a foreign host leaves after these two.
    add('rule output ip daddr @llm4 goto provider'),
    add('rule output ip6 daddr @llm6 goto provider'),

    add(`rule input ${proxy} ct status dnat accept`),
    add(`rule input ${proxy} ${refuse('direct_dial', 'direct', reset)}`),
    ...e.guardedPorts.map(({ port }) =>
      add(`rule input iifname != "lo" tcp dport ${port} ${refuse('guarded_port', 'guarded', reset)}`),
    ),

    // Whatever the machine routes for others (containers, guests, tunnels) has no uid and no exemption.
    add('rule forward ip daddr @llm4 goto refuse'),
    add('rule forward ip6 daddr @llm6 goto refuse'),

    add('rule provider fib daddr type local accept'),
    add('rule provider meta skuid @exempt_uids accept'),
    // No `established accept` before this line: keep-alives opened before the fence are reset.
    add('rule provider meta skuid != @exempt_uids goto refuse'),
    // What is left has no socket with a file any more: the last segments of a connection that its owner
    // closed. Refusing the proxy's own would cut its data short and count as leaks; nobody else can have
    // established a connection through this fence.
    add('rule provider meta l4proto tcp ct state established accept'),
    add('rule provider goto refuse'),

    add(`rule refuse meta l4proto tcp ${refuse('refused_tcp', 'tcp', reset)}`),
    // Port-unreachable is what every QUIC client takes for "no HTTP/3 here" at once (RFC 9000, 14.2.1).
    add(`rule refuse udp dport 443 ${refuse('refused_quic', 'quic', 'reject with icmpx port-unreachable')}`),
    add(`rule refuse meta l4proto udp ${refuse('refused_udp', 'udp', 'reject with icmpx port-unreachable')}`),
    // By number (ICMP 1, ICMPv6 58): nft reads names from /etc/protocols, which a minimal system lacks.
    add('rule refuse meta l4proto { 1, 58 } accept'),
    add(`rule refuse ${refuse('refused_other', 'other', 'reject with icmpx admin-prohibited')}`),
  ])
}

/**
 * The redirect as one transaction, for the interactive nft that owns it. Replaces a table of that name that
 * nobody owns; fails (EPERM) where another process owns it.
 *
 * Only a lone SYN is redirected: where conntrack starts with these rules, it picks connections up in their
 * middle as new ones, and redirecting those would cut every foreign connection on port 443 at installation.
 * @throws FirewallError `invalid-enforcement`
 */
export function renderRedirect(enforcement: Enforcement): string {
  const e = validateEnforcement(enforcement)
  const add = (what: string) => `add ${what.replace(' ', ` inet ${REDIRECT_TABLE} `)}`
  const redirect = `counter name redirected redirect to :${e.redirectPort}`
  return script([
    ...renderRemoval(REDIRECT_TABLE),
    `add table inet ${REDIRECT_TABLE} { flags owner; }`,
    add('counter redirected'),
    add('set exempt_uids { type uid; }'),
    add('set bridges { type ifname; flags interval; }'),
    add('set llm4 { type ipv4_addr; }'),
    add('set llm6 { type ipv6_addr; }'),
    ...elements(REDIRECT_TABLE, 'exempt_uids', e.exemptUids),
    ...elements(
      REDIRECT_TABLE,
      'bridges',
      e.bridges.map((name) => `"${name}"`),
    ),
    ...elements(REDIRECT_TABLE, 'llm4', e.addresses4),
    ...elements(REDIRECT_TABLE, 'llm6', e.addresses6),
    // -100 is dstnat; nft 1.0.6 knows that name on prerouting only.
    add('chain output { type nat hook output priority -100; policy accept; }'),
    add('chain prerouting { type nat hook prerouting priority -100; policy accept; }'),
    add('chain capture'),
    add('rule output meta skuid @exempt_uids accept'),
    add(`rule output ${SYN} fib daddr type != local goto capture`),
    add(`rule prerouting iifname @bridges ${SYN} fib daddr type != local goto capture`),
    ...(e.ports.length > 0 ? [add(`rule capture tcp dport { ${e.ports.join(', ')} } ${redirect}`)] : []),
    add(`rule capture ip daddr @llm4 meta l4proto tcp ${redirect}`),
    add(`rule capture ip6 daddr @llm6 meta l4proto tcp ${redirect}`),
  ])
}

/** Script that takes the fence away, whether it stands or not. */
export function removeFenceScript(): string {
  return script(renderRemoval(FENCE_TABLE))
}

/** Commands that add addresses to a table's sets in one transaction; those already there stay. @throws FirewallError */
export function renderAdditions(
  table: string,
  addresses4: readonly string[],
  addresses6: readonly string[],
): string {
  return renderElements('add', table, addresses4, addresses6)
}

/** Commands that take addresses out of a table's sets; fails where one isn't there. @throws FirewallError */
export function renderDeletions(
  table: string,
  addresses4: readonly string[],
  addresses6: readonly string[],
): string {
  return renderElements('delete', table, addresses4, addresses6)
}

function renderElements(
  verb: 'add' | 'delete',
  table: string,
  addresses4: readonly string[],
  addresses6: readonly string[],
): string {
  const valid = validateAddresses(addresses4, addresses6)
  return script([
    ...elements(table, 'llm4', valid.addresses4, verb),
    ...elements(table, 'llm6', valid.addresses6, verb),
  ])
}

/** `add` first: deleting a table that isn't there is an error, adding one that is there isn't. */
function renderRemoval(table: string): string[] {
  return [`add table inet ${table}`, `delete table inet ${table}`]
}

/** nft refuses an empty list of elements. */
function elements(table: string, set: string, values: readonly (string | number)[], verb = 'add'): string[] {
  return values.length === 0 ? [] : [`${verb} element inet ${table} ${set} { ${values.join(', ')} }`]
}

/** Matches every sender but these users; every sender where there are none. */
function notOneOf(uids: readonly number[]): string {
  return uids.length === 0 ? '' : `meta skuid != { ${uids.join(', ')} } `
}

function script(commands: readonly string[]): string {
  return `${commands.join('\n')}\n`
}
