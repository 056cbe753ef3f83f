/** What a start has to say of how the last recorder ended: gaps from its last sign of life until now. Pure. */
import type { Recovered } from './intake/recover.ts'
import type { Evidence } from './messages.ts'

/** The audit event that an orphaned recorder writes; the next start makes a gap of it. */
export const SUPERVISOR_LOST = 'supervisor-lost'

export interface LastEnd {
  readonly recovered: Pick<Recovered, 'lastKnown' | 'unclean' | 'cuts'>
  /** Of the log's last record, RFC 3339. */
  readonly lastTime: string | undefined
  readonly lastAudit: { readonly event: string; readonly time: string } | undefined
  /** What was cut off the ledger's WAL. */
  readonly cut: string | undefined
}

export function gapsSince({ recovered, lastTime, lastAudit, cut }: LastEnd, now: number): Evidence[] {
  const last = Math.max(recovered.lastKnown, lastTime === undefined ? 0 : Date.parse(lastTime))
  const gap = (cause: string, from = last) => ({ type: 'gap', cause, from, to: now }) as const
  return [
    ...(recovered.unclean ? [gap('the recorder did not stop cleanly')] : []),
    ...recovered.cuts.map(({ file, offset, what }) => gap(`journal/${file}: ${what} at ${offset}`)),
    ...(cut === undefined ? [] : [gap(`the ledger's WAL had a torn end: ${cut}`)]),
    ...(lastAudit?.event === SUPERVISOR_LOST
      ? [gap('the supervisor died: nothing was enforced by it or recorded', Date.parse(lastAudit.time))]
      : []),
  ]
}
