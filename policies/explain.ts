/** Why a request, and its record, become what they become: each rule's say, up to the one that decides. */
import { type Rule, weigh } from './exchange-conditions.ts'
import type { ExchangeFacts } from './exchange-facts.ts'
import {
  askedOfRecord,
  IN_DOUBT,
  judgeRecord,
  judgeRequest,
  type RecordVerdict,
  type Verdict,
} from './exchange-rules.ts'
import type { Policy } from './policy.ts'
import type { Truth } from './truth.ts'

export interface Step {
  readonly rule: string
  readonly action: string
  /** Whether its conditions hold. */
  readonly matches: Truth
  /** The conditions by which that is so; empty for a rule without any. */
  readonly because: readonly string[]
}

export interface Explanation {
  readonly traffic: { readonly steps: readonly Step[]; readonly verdict: Verdict }
  readonly records: { readonly steps: readonly Step[]; readonly verdict: RecordVerdict }
}

/** @param facts of which nothing is awaited */
export function explain(policy: Policy, facts: ExchangeFacts): Explanation {
  const verdict = judgeRequest(policy, facts)
  if ('wait' in verdict) throw new TypeError('these facts are not all known')
  const kept = judgeRecord(policy, facts)
  const traffic = policy.traffic.rules.map((rule) => step(policy, rule, facts, rule.action !== 'allow'))
  const records = policy.records.rules.map((rule) =>
    step(policy, askedOfRecord(rule), facts, IN_DOUBT.has(rule.action)),
  )
  return {
    traffic: { steps: upTo(traffic, verdict.rule), verdict },
    records: { steps: upTo(records, kept.rule), verdict: kept },
  }
}

function step(policy: Policy, rule: Rule, facts: ExchangeFacts, some: boolean): Step {
  const { truth, because } = weigh(policy, rule, facts, some ? 'some' : 'every')
  return { rule: rule.name, action: rule.action, matches: truth, because }
}

function upTo(steps: readonly Step[], rule: string | undefined): Step[] {
  const last = steps.findIndex((each) => each.rule === rule)
  return steps.slice(0, last === -1 ? undefined : last + 1)
}
