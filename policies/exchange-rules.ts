/**
 * What becomes of one request, and of its record. The first rule that matches decides; where that can't be told yet,
 * the answer is what to wait for. Pure: the same rules and facts always give the same verdict.
 *
 * Threat model: the request is the agent's. Where a rule that blocks or redacts can't be judged (a body too long, not
 * decodable, an agent that nobody could find) it blocks, unless it says `cannotTell: pass`; a rule that allows doesn't
 * match then.
 */
import { ofExchange, type Rule, type Weighed, weigh } from './exchange-conditions.ts'
import type { ExchangeFacts } from './exchange-facts.ts'
import { onceEach } from './once-each.ts'
import type { Policy } from './policy.ts'
import type { BodyContent } from './request-content.ts'
import type { Kept } from './rules-schema.ts'

export interface Verdict {
  readonly action: 'allow' | 'block' | 'redact'
  /** Name of the rule that decided; absent: the default. */
  readonly rule?: string
  /** It was asked about the request itself, and not only about its connection. */
  readonly ofExchange: boolean
  /** Conditions that could not be told, or why it can't be redacted, where it blocks for that. */
  readonly unknown?: readonly string[]
  /** Kinds of content found. */
  readonly found?: readonly string[]
}

/** What has to be known first: the body's end, or who the agent is. */
export interface Wait {
  readonly wait: 'body' | 'agent'
}

/** Is any rule of the policy asked about requests? Where none is, nothing needs to be looked at. */
export const asksOfRequests = onceEach((policy: Policy): boolean => policy.traffic.rules.some(ofExchange))

export function judgeRequest(policy: Policy, facts: ExchangeFacts): Verdict | Wait {
  for (const rule of policy.traffic.rules) {
    const weighed = weigh(policy, rule, facts, rule.action === 'allow' ? 'every' : 'some')
    if (weighed.truth === 'no') continue
    if (weighed.truth === 'awaited') return { wait: waitFor(weighed) }
    const verdict = ruling(policy, rule, facts, weighed)
    if (verdict !== undefined) return verdict
  }
  return { action: policy.traffic.default, ofExchange: false }
}

function ruling(
  policy: Policy,
  rule: Policy['traffic']['rules'][number],
  facts: ExchangeFacts,
  { truth, because }: Weighed,
): Verdict | undefined {
  const common = { rule: rule.name, ofExchange: ofExchange(rule) }
  if (rule.action === 'allow') return truth === 'yes' ? { action: 'allow', ...common } : undefined
  if (truth === 'unknown') return doubtful(rule, { ...common, unknown: because })
  const found = foundBy(policy, rule, facts)
  if (rule.action === 'block') return { action: 'block', ...common, ...found }
  const { body, fixed } = facts
  const why = fixed ?? (body.state === 'read' ? unchangeable(body.content) : undefined)
  if (why !== undefined) return doubtful(rule, { ...common, ...found, unknown: [why] })
  return { action: 'redact', ...common, ...found }
}

const unchangeable = ({ notJson, isWide }: BodyContent): string | undefined =>
  notJson ?? (isWide ? 'JSON that is not in UTF-8' : undefined)

function doubtful(
  { cannotTell = 'block' }: { readonly cannotTell?: 'block' | 'pass' | undefined },
  verdict: Omit<Verdict, 'action'>,
): Verdict | undefined {
  return cannotTell === 'pass' ? undefined : { action: 'block', ...verdict }
}

function foundBy(policy: Policy, { content }: Rule, { body }: ExchangeFacts): { found?: string[] } {
  if (content === undefined || body.state !== 'read') return {}
  return { found: body.content.finds(policy.detectors, content) }
}

const OF_AGENT = new Set(['users', 'agents'])
/** Of two, the body: who the agent is will be known by then. */
const waitFor = ({ because }: Weighed): Wait['wait'] =>
  because.every((key) => OF_AGENT.has(key)) ? 'agent' : 'body'

export interface RecordVerdict {
  readonly action: Kept
  /** Name of the rule that decided; absent: the default. */
  readonly rule?: string
  /** What `redact` replaces. */
  readonly detectors: readonly string[]
}

/** Actions that keep less: in doubt they apply. In doubt nothing is discarded, for that can't be made good. */
export const IN_DOUBT: ReadonlySet<Kept> = new Set(['metadata-only', 'redact'])

/** @param facts of an exchange that is over: nothing is awaited */
export function judgeRecord(policy: Policy, facts: ExchangeFacts): RecordVerdict {
  for (const rule of policy.records.rules) {
    const { action, name, content } = rule
    const inDoubt = IN_DOUBT.has(action)
    const { truth } = weigh(policy, askedOfRecord(rule), facts, inDoubt ? 'some' : 'every')
    if (truth === 'yes' || (truth === 'unknown' && inDoubt))
      return { action, rule: name, detectors: content ?? [] }
  }
  return { action: policy.records.default, detectors: [] }
}

/** What a record is redacted of may stand in the answer alone: there the content is no condition. */
export const askedOfRecord = onceEach(
  (rule: Policy['records']['rules'][number]): Policy['records']['rules'][number] => {
    const { content: _, ...others } = rule
    return rule.action === 'redact' ? others : rule
  },
)
