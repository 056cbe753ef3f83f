/**
 * Rules of others that can keep connections from the gateway. It translates before everybody who keeps to the customary
 * priorities (firewall/nftables-redirect.ts), so that another's dnat or redirect comes too late to matter, and what a filter
 * drops fails to be seen by doctor's own calls. What remains takes a connection away before or beside that. Pure.
 */
import { z } from 'zod'
import type { Check } from './check.ts'

/** As `nft --json list ruleset` has it; what isn't asked about is left out. libnftables-json(5) */
const Listing = z.object({
  nftables: z.array(
    z.object({
      rule: z
        .object({ family: z.string(), table: z.string(), chain: z.string(), expr: z.array(z.unknown()) })
        .optional(),
    }),
  ),
})

type Kind = 'notrack' | 'queue'

const EFFECT: Readonly<Record<Kind, string>> = {
  notrack:
    'takes connections out of tracking (notrack), so that they can’t be redirected: those to known addresses are refused instead',
  queue: 'hands packets to another program (queue), which can drop or change them',
}
/** Of iptables-nft, whose own targets nft shows by name only. */
const TARGETS: Readonly<Record<string, Kind>> = { CT: 'notrack', NOTRACK: 'notrack', NFQUEUE: 'queue' }
const OURS = /^aa_/
const GOVERNED = [80, 443]

/** @param listing of `nft --json list ruleset`  @throws where it isn't one */
export function foreignRules(listing: string): Check[] {
  const { nftables } = Listing.parse(JSON.parse(listing))
  const found = new Map<string, Check>()
  for (const { rule } of nftables) {
    if (rule === undefined || OURS.test(rule.table)) continue
    const kind = rule.expr.map(kindOf).find((each) => each !== undefined)
    if (kind === undefined || rule.expr.some(leavesOut)) continue
    const table = `${rule.family} ${rule.table}`
    found.set(`${table} ${kind}`, {
      check: `rules of the table ${table}`,
      result: 'attention',
      detail: `its chain ${rule.chain} ${EFFECT[kind]}`,
      remedy: `Limit it to what it is for: sudo nft --handle list table ${table}`,
    })
  }
  return [...found.values()]
}

/** @param saved of iptables-legacy-save  @param table as `ip raw` */
export function legacyRules(table: string, saved: string): Check[] {
  const kinds = saved.split('\n').flatMap((line): Kind[] => {
    const ports = /--dports? ([\d,:]+)/.exec(line)?.[1]
    if (ports !== undefined && !ports.split(',').some(holdsGoverned)) return []
    if (/ -j (?:NOTRACK|CT .*--notrack)/.test(line)) return ['notrack']
    return / -j NFQUEUE/.test(line) ? ['queue'] : []
  })
  return [...new Set(kinds)].map((kind) => ({
    check: `rules of the table ${table} (iptables-legacy)`,
    result: 'attention',
    detail: `one of them ${EFFECT[kind]}`,
    remedy: `Limit it to what it is for: sudo ${table.startsWith('ip6') ? 'ip6tables' : 'iptables'}-legacy-save`,
  }))
}

function holdsGoverned(ports: string): boolean {
  const [from = 0, to = from] = ports.split(':').map(Number)
  return GOVERNED.some((port) => port >= from && port <= to)
}

function kindOf(statement: unknown): Kind | undefined {
  const is = (key: string) => typeof statement === 'object' && statement !== null && key in statement
  if (is('notrack')) return 'notrack'
  if (is('queue')) return 'queue'
  const target = Target.safeParse(statement)
  return target.success ? TARGETS[target.data.xt.name] : undefined
}

const Target = z.object({ xt: z.object({ type: z.literal('target'), name: z.string() }) })

const Port = z.union([z.number(), z.object({ range: z.tuple([z.number(), z.number()]) })])
const Match = z.object({
  match: z.object({
    op: z.string(),
    left: z.object({ payload: z.object({ protocol: z.string(), field: z.literal('dport') }) }),
    right: z.union([Port, z.object({ set: z.array(Port) })]),
  }),
})

/** The rule is for other ports than those where providers are. */
function leavesOut(statement: unknown): boolean {
  const parsed = Match.safeParse(statement)
  if (!parsed.success || !['==', 'in'].includes(parsed.data.match.op)) return false
  const { left, right } = parsed.data.match
  if (left.payload.protocol === 'udp') return true
  const ports = typeof right === 'object' && 'set' in right ? right.set : [right]
  return !ports.some((port) => {
    const [from, to] = typeof port === 'number' ? [port, port] : port.range
    return GOVERNED.some((each) => each >= from && each <= to)
  })
}
