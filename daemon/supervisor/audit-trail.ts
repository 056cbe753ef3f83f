/**
 * Evidence of the supervisor's own on its way into the log: its acts, gaps, refusals and leaks. Each has an id and is
 * kept until the recorder says that it is in the log, so that the recorder's death loses none; what was sent twice
 * is recorded once. The queue is bounded, and what doesn't fit is told exactly, as a gap, when there is room again.
 */
import { randomUUIDv7 } from 'node:crypto'
import type { Evidence, Sighting } from '../recorder/messages.ts'

type Detail = Record<string, string | number | boolean>

export interface AuditTrail {
  /** An act of the gateway's own. */
  write(event: string, detail: Detail): void
  /** A span in which the promise did not hold or can't be shown to have held. @param from, to milliseconds since the epoch */
  gap(cause: string, from: number, to: number, detail?: Detail): void
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

/** @param send false where nobody is there to take it */
export function auditTrail(send: (message: object) => boolean, mostWaiting = MOST_WAITING): AuditTrail {
  /** Unconfirmed, in order; those before `sent` were sent. */
  const waiting = new Map<string, Evidence>()
  let unsent: Evidence[] = []
  let overflow: Overflow | undefined

  const flush = () => {
    let done = 0
    while (done < unsent.length && send(unsent[done] as Evidence)) done += 1
    if (done > 0) unsent = unsent.slice(done)
  }
  const keep = (evidence: Evidence) => {
    waiting.set(evidence.id as string, evidence)
    unsent.push(evidence)
    flush()
  }
  /** The overflow is told before anything that came after it. */
  const tellOverflow = () => {
    if (!overflow || waiting.size >= mostWaiting) return
    const { from, to, detail } = overflow
    overflow = undefined
    keep({ type: 'gap', id: randomUUIDv7(), cause: 'evidence-overflow', from, to, detail })
  }
  const add = (evidence: Evidence) => {
    tellOverflow()
    if (waiting.size < mostWaiting) keep({ ...evidence, id: evidence.id ?? randomUUIDv7() })
    else overflow = counted(overflow, evidence)
  }

  return {
    write: (event, detail) => add({ type: 'audit', time: Date.now(), event, detail }),
    gap: (cause, from, to, detail) => add({ type: 'gap', cause, from, to, detail }),
    sighting: add,
    flush,
    recorded(ids) {
      for (const id of ids) waiting.delete(id)
      tellOverflow()
    },
    lost() {
      unsent = [...waiting.values()]
    },
  }
}

interface Overflow {
  readonly from: number
  readonly to: number
  /** Messages of each kind, and what refusals and leaks had counted. */
  readonly detail: Record<string, number>
}

function counted(overflow: Overflow | undefined, evidence: Evidence): Overflow {
  const now = Date.now()
  const [from, to] = evidence.type === 'audit' ? [now, now] : [evidence.from, evidence.to]
  const detail = { ...overflow?.detail }
  const add = (name: string, count: number) => {
    detail[name] = (detail[name] ?? 0) + count
  }
  add(evidence.type, 1)
  if ('count' in evidence) add(`${evidence.type}.count`, evidence.count)
  return { from: Math.min(overflow?.from ?? from, from), to: Math.max(overflow?.to ?? to, to), detail }
}
