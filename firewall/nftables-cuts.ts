/**
 * Cuts (cut.ts) as sets and rules of the table that the daemon owns: without the daemon there is no sensor either,
 * and what a dead one has cut nobody would give back.
 */
import type { Cut } from './cut.ts'
import { canonicalAddress } from './ip-address.ts'
import type { TableText } from './nftables-text.ts'
import { tells } from './refusal-rules.ts'

const SETS = {
  cut_to4: 'ipv4_addr',
  cut_to6: 'ipv6_addr',
  cut_users4: 'uid . ipv4_addr',
  cut_users6: 'uid . ipv6_addr',
  cut_flows4: 'ipv4_addr . inet_service . ipv4_addr',
  cut_flows6: 'ipv6_addr . inet_service . ipv6_addr',
} as const

/** Behind everything else, with what slipped past the redirect (nftables-redirect.ts). */
const OUTPUT = 'late_output'
/** After the last translation of sources (100, and Docker's and others' are no later): as it leaves the machine. */
const LEAVING = 300

/** Sets and chains, to be declared before any rule; and the rules. @param ungoverned rules that accept the exempt */
export function cutting(
  { add }: Pick<TableText, 'add'>,
  logGroup: number,
  ungoverned: readonly string[],
): { declare: string[]; rules: string[] } {
  // The address alone first: a packet to anywhere else leaves after that.
  const to = (base: string, chain: string) => [
    add(`rule ${base} ip daddr @cut_to4 goto ${chain}`),
    add(`rule ${base} ip6 daddr @cut_to6 goto ${chain}`),
  ]
  const cut = tells('cut', logGroup)
  return {
    declare: [
      ...Object.entries(SETS).map(([name, type]) => add(`set ${name} { type ${type}; }`)),
      add(`chain leaving { type filter hook postrouting priority ${LEAVING}; policy accept; }`),
      ...['cut_user', 'cut_flow', 'reject_cut', 'drop_cut'].map((chain) => add(`chain ${chain}`)),
    ],
    rules: [
      ...to(OUTPUT, 'cut_user'),
      ...to('leaving', 'cut_flow'),
      ...['cut_user', 'cut_flow'].flatMap((chain) => ungoverned.map((what) => add(`rule ${chain} ${what}`))),
      add('rule cut_user meta skuid . ip daddr @cut_users4 goto reject_cut'),
      add('rule cut_user meta skuid . ip6 daddr @cut_users6 goto reject_cut'),
      add('rule cut_flow ip saddr . th sport . ip daddr @cut_flows4 goto drop_cut'),
      add('rule cut_flow ip6 saddr . th sport . ip6 daddr @cut_flows6 goto drop_cut'),
      add(`rule reject_cut meta l4proto 6 ${cut} reject with tcp reset`),
      add(`rule reject_cut ${cut} reject with icmpx port-unreachable`),
      // Nothing can be rejected where packets leave.
      add(`rule drop_cut ${cut} drop`),
    ],
  }
}

/** Commands that make the sets hold these. @param cuts validated */
export function cutElements(text: Pick<TableText, 'replace'>, cuts: readonly Cut[]): string[] {
  const elements = new Map(Object.keys(SETS).map((name) => [name, new Set<string>()]))
  for (const cut of cuts) {
    const family = canonicalAddress(cut.address)?.family ?? 4
    const sender = 'uid' in cut ? `${cut.uid}` : `${cut.source.address} . ${cut.source.port}`
    elements.get(`cut_to${family}`)?.add(cut.address)
    elements.get(`cut_${'uid' in cut ? 'users' : 'flows'}${family}`)?.add(`${sender} . ${cut.address}`)
  }
  return [...elements].flatMap(([set, values]) => text.replace(set, [...values]))
}
