/** Runs the cases of a policy, and says which of its rules they came by. */
import type { z } from 'zod'
import type { CasesSchema } from '../../policies/cases-schema.ts'
import { decide } from '../../policies/decide.ts'
import type { Seen } from '../../policies/decision.ts'
import { explain } from '../../policies/explain.ts'
import type { Policy, Rules } from '../../policies/policy.ts'
import { RULE_IDS, type RuleId } from '../../policies/rule-ids.ts'
import { describedRequest } from './described-request.ts'

type Cases = z.output<typeof CasesSchema>
type Case = Cases['cases'][number]
type Expected = { readonly action: string; readonly rule?: string | undefined }

export interface CaseResult {
  readonly name: string
  readonly passed: boolean
  /** What was otherwise than expected. */
  readonly wrong: readonly string[]
}

export interface CasesResult {
  readonly results: readonly CaseResult[]
  /** The policy's rules, one's own and the built-in ones that a connection's first bytes can lead to. */
  readonly covered: readonly string[]
  readonly uncovered: readonly string[]
}

/** Decided in the proxy by what it finds later: a case has none of that. */
const FOUND_LATER: ReadonlySet<string> = new Set([
  'name-mismatch',
  'foreign-address',
  'link-local',
  'unvouched-name',
  'shared-certificate',
  'client-refused',
  'uninterceptable',
  'own-host',
  'tunnel-provider-address',
])

/** Rules that other settings never lead to. */
const ONLY_WHERE: Partial<Record<RuleId, (policy: Policy) => boolean>> = {
  'plain-http': ({ proxy }) => proxy.plainHttp === 'refuse',
  local: ({ enforcement }) => enforcement.local.length > 0,
  resolver: ({ proxy }) => proxy.resolvers === 'refuse',
  exception: ({ proxy }) => proxy.exceptions.length > 0,
  'other-name-intercepted': ({ proxy }) => proxy.unknownName === 'intercept',
  'other-name': ({ traffic }) => traffic.default === 'allow',
  'encrypted-name': ({ traffic }) => traffic.default === 'allow',
  'unlisted-call': ({ traffic }) => traffic.default === 'allow',
  'tunnel-blind': ({ proxy }) => proxy.tunnel !== 'refuse',
  'traffic-default': ({ traffic }) => traffic.default === 'block',
}

export function runCases(rules: Rules, cases: Cases): CasesResult {
  const met = new Set<string>()
  const results = cases.cases.map((each): CaseResult => {
    const wrong = 'connection' in each ? ofConnection(rules, each, met) : ofRequest(rules, each, met)
    return { name: each.name, passed: wrong.length === 0, wrong }
  })
  const { traffic, records } = rules.policy
  const all = [
    ...RULE_IDS.filter((id) => !FOUND_LATER.has(id) && (ONLY_WHERE[id]?.(rules.policy) ?? true)),
    ...traffic.rules.map(({ name }) => `traffic/${name}`),
    ...records.rules.map(({ name }) => `records/${name}`),
  ]
  return { results, covered: all.filter((id) => met.has(id)), uncovered: all.filter((id) => !met.has(id)) }
}

function ofConnection(
  rules: Rules,
  { connection, expect }: Extract<Case, { connection: object }>,
  met: Set<string>,
): string[] {
  const { address, port, toProvider, toOwn, ...shown } = connection
  const seen: Seen = {
    ...shown,
    destination: { address, port },
    destinationIsProvider: toProvider,
    ...(toOwn === undefined ? {} : { destinationIsOwn: toOwn }),
  }
  const { action, rule } = decide({ ...rules, ownHosts: [] }, seen)
  const id = rule.slice(rule.indexOf('/') + 1)
  met.add(id)
  return compare('', { action, rule: id }, expect)
}

function ofRequest(
  rules: Rules,
  { request, expect, records }: Extract<Case, { request: object }>,
  met: Set<string>,
): string[] {
  const found = explain(rules.policy, describedRequest(rules, request))
  const traffic = named('traffic', found.traffic.verdict)
  const kept = named('records', found.records.verdict)
  for (const { rule } of [traffic, kept]) if (rule !== undefined) met.add(rule)
  return [
    ...(expect ? compare('', traffic, expect) : []),
    ...(records ? compare('the record: ', kept, records) : []),
  ]
}

const named = (section: string, { action, rule }: Expected): Expected => ({
  action,
  rule: rule === undefined ? undefined : `${section}/${rule}`,
})

function compare(what: string, is: Expected, expected: Expected): string[] {
  const same = is.action === expected.action && (expected.rule === undefined || is.rule === expected.rule)
  const text = ({ action, rule }: Expected) => (rule === undefined ? action : `${action} by ${rule}`)
  return same ? [] : [`${what}expected ${text(expected)}, and it is ${text(is)}`]
}
