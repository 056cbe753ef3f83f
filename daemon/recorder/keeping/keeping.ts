/**
 * What is kept of each exchange, by the policy that it ran under; and who the agent was, by its names.
 *
 * Decided here and not in the proxy: when an exchange is over all is known of it, and nobody waits. Its frames were in
 * the journal until then, sealed, whatever the rule.
 */
import { nameOf } from '../../../policies/named-agents.ts'
import type { Policy } from '../../../policies/policy.ts'
import type { AuditRecord, ExchangeRecord, LogRecord } from '../record.ts'
import { type Frames, judgedFrom, openOf } from './judged.ts'
import { type Redaction, redactedFrames } from './redacted-frames.ts'

type Kept = NonNullable<ExchangeRecord['policy']['records']>

/** How an exchange's bodies go into the store. */
export interface Manner {
  readonly frames: Frames
  stores(side: 'request' | 'response'): boolean
}

/** A leaf has little room; there are fewer built-in kinds. */
const MAX_KINDS = 32

/** Policies of exchanges still open: a reload or two ago. */
const MOST_POLICIES = 8

export class Keeping {
  /** The newest last. */
  #policies: Policy[]

  constructor(policy: Policy | undefined) {
    this.#policies = policy ? [policy] : []
  }

  /** Another policy is in force; exchanges that began under an earlier one go by that. */
  use(policy: Policy): void {
    this.#policies = [...this.#policies.filter(({ hash }) => hash !== policy.hash), policy].slice(
      -MOST_POLICIES,
    )
  }

  /**
   * The record that `make` makes of the frames in the manner that the policy wants.
   * @param frames may be read more than once
   */
  async keep(frames: () => Frames, make: (manner: Manner) => Promise<LogRecord>): Promise<LogRecord> {
    const open = this.#policies.some(keepsLess) ? openOf(frames()) : undefined
    const hash = open?.policy.hash
    const policy = this.#policies.find((each) => each.hash === hash) ?? this.#policies.at(-1)
    const verdict = policy && keepsLess(policy) ? judgedFrom(policy, frames()) : undefined
    if (!policy || !verdict) return this.named(await make({ frames: frames(), stores: () => true }))
    const { action, detectors } = verdict
    const rule = verdict.rule === undefined ? undefined : `${policy.name}/records/${verdict.rule}`
    if (action === 'discard') return discarded(await make({ frames: frames(), stores: () => false }), rule)
    const kept: Kept = { action, ...(rule && { rule }), ...(policy.hash !== hash && { hash: policy.hash }) }
    if (action !== 'redact') {
      const stores = () => action !== 'metadata-only'
      return this.named(withKept(await make({ frames: frames(), stores }), kept))
    }
    const redaction: Redaction = {
      own: policy.detectors,
      names: detectors,
      isTurn: open?.webSocket !== undefined,
      count: 0,
      found: new Set(),
      unstored: new Set(),
    }
    const record = await make({
      frames: redactedFrames(frames(), redaction),
      stores: (side) => !redaction.unstored.has(side),
    })
    const found = [...redaction.found].slice(0, MAX_KINDS)
    return this.named(
      withKept(record, { ...kept, redacted: redaction.count, ...(found.length > 0 && { found }) }),
    )
  }

  /** The record with its agent's name, by the policy in force. */
  named(record: LogRecord): LogRecord {
    const agents = this.#policies.at(-1)?.agents ?? []
    if (agents.length === 0 || !('agent' in record)) return record
    const name = nameOf(agents, record.agent)
    return name === undefined ? record : { ...record, agent: { ...record.agent, name } }
  }
}

/** Else every record is kept whole, and none needs to be looked at first. */
const keepsLess = ({ records }: Policy): boolean => records.rules.length > 0 || records.default !== 'anchor'

const withKept = (record: LogRecord, records: Kept): LogRecord =>
  record.kind === 'exchange' ? { ...record, policy: { ...record.policy, records } } : record

/** One small leaf each, under the exchange's id: exact after a crash too, which no running total could be. */
function discarded(record: LogRecord, rule = ''): LogRecord {
  if (record.kind !== 'exchange') return record
  const { v, id, time, policy } = record
  return {
    v,
    id,
    time,
    kind: 'audit',
    event: 'record-discarded',
    detail: { rule, policy: policy.hash },
  } satisfies AuditRecord
}
