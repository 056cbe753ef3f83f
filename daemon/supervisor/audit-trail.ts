/**
 * Evidence of the supervisor's own on its way into the log: its acts, gaps, refusals and leaks. Each has an id and is
 * kept until the recorder says that it is in the log, so that the recorder's death loses none, and in a journal, so that
 * ours loses none; what was sent twice is recorded once. The queue is bounded, and what doesn't fit is told exactly, as
 * a gap, when there is room again.
 */
import { randomUUIDv7 } from 'node:crypto'
import type { Evidence, Sighting } from '../recorder/messages.ts'
import type { EvidenceJournal } from './evidence-journal.ts'
import type { IdentifiedEvidence } from './evidence-lines.ts'

type Detail = Record<string, string | number | boolean>

export interface AuditTrail {
  /** An act of the gateway's own. @param id of its draft, if it has one */
  write(event: string, detail: Detail, id?: string): void
  /**
   * A span in which the promise did not hold or can't be shown to have held.
   * @param from, to milliseconds since the epoch
   * @param id of its draft, if it has one
   */
  gap(cause: string, from: number, to: number, detail?: Detail, id?: string): void
  /** What is not told yet, because it is still counted or, `open`, still goes on: the next start tells it if we die. */
  draft(evidence: IdentifiedEvidence, open?: boolean): void
  /** A refusal or leak that kernel, sensor or DNS guard saw. */
  sighting(sighting: Sighting): void
  /** Hands over what has waited, once the recorder listens. */
  flush(): void
  /** The recorder has these in its log. */
  recorded(ids: readonly string[]): void
  /** The recorder is gone: what it did not confirm is to be sent again. */
  lost(): void
}

/** About 10 MB. The recorder confirms within a fifth of a second while it is well. */
const MOST_WAITING = 10_000

const NO_JOURNAL: EvidenceJournal = { left: [], keep() {}, draft() {}, recorded() {}, close() {} }

/** @param send false where nobody is there to take it */
export function auditTrail(
  send: (message: object) => boolean,
  {
    journal = NO_JOURNAL,
    mostWaiting = MOST_WAITING,
  }: { readonly journal?: EvidenceJournal; readonly mostWaiting?: number } = {},
): AuditTrail {
  /** Unconfirmed, in order; those before `sent` were sent. */
  const waiting = new Map<string, IdentifiedEvidence>(journal.left.map((each) => [each.id, each]))
  let unsent: IdentifiedEvidence[] = [...journal.left]
  let overflow: Overflow | undefined

  const flush = () => {
    let done = 0
    while (done < unsent.length && send(unsent[done] as Evidence)) done += 1
    if (done > 0) unsent = unsent.slice(done)
  }
  const keep = (evidence: IdentifiedEvidence) => {
    journal.keep(evidence)
    waiting.set(evidence.id, evidence)
    unsent.push(evidence)
    flush()
  }
  /** The overflow is told before anything that came after it. */
  const tellOverflow = () => {
    if (!overflow || waiting.size >= mostWaiting) return
    const counts: IdentifiedEvidence = overflow
    overflow = undefined
    keep(counts)
  }
  const add = (evidence: Evidence) => {
    tellOverflow()
    if (waiting.size < mostWaiting) return keep({ ...evidence, id: evidence.id ?? randomUUIDv7() })
    const counts = counted(overflow, evidence)
    overflow = counts
    journal.draft(counts)
    if (evidence.id !== undefined) journal.recorded([evidence.id])
  }

  return {
    write: (event, detail, id) => add({ type: 'audit', id, time: Date.now(), event, detail }),
    gap: (cause, from, to, detail, id) => add({ type: 'gap', id, cause, from, to, detail }),
    draft: journal.draft,
    sighting: add,
    flush,
    recorded(ids) {
      for (const id of ids) waiting.delete(id)
      journal.recorded(ids)
      tellOverflow()
    },
    lost() {
      unsent = [...waiting.values()]
    },
  }
}

/** Its detail: messages of each kind, and what refusals and leaks had counted. */
type Overflow = IdentifiedEvidence & { readonly type: 'gap'; readonly detail: Record<string, number> }

function counted(overflow: Overflow | undefined, evidence: Evidence): Overflow {
  const now = Date.now()
  const [from, to] = evidence.type === 'audit' ? [now, now] : [evidence.from, evidence.to]
  const detail = { ...overflow?.detail }
  const add = (name: string, count: number) => {
    detail[name] = (detail[name] ?? 0) + count
  }
  add(evidence.type, 1)
  if ('count' in evidence) add(`${evidence.type}.count`, evidence.count)
  return {
    type: 'gap',
    id: overflow?.id ?? randomUUIDv7(),
    cause: 'evidence-overflow',
    from: Math.min(overflow?.from ?? from, from),
    to: Math.max(overflow?.to ?? to, to),
    detail,
  }
}
