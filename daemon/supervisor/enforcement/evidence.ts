/** What the guard saw and did, as audit and gap records at a bounded rate with exact counts. */
import type { GapCause } from '../coverage.ts'
import type { Tampering } from './ruleset-guard.ts'
import { tally } from './tally.ts'

export type Detail = Record<string, string | number | boolean>
export type Audit = (event: string, detail: Detail) => void
export type Gap = (cause: GapCause, from: number, to: number, detail?: Detail) => void

export interface Evidence {
  tampered(change: Tampering, at: number): void
  /** Changes of other people's tables: who works on the ruleset beside us. */
  foreign(change: Tampering, at: number): void
  /** Our rules were not known to stand from `from` to `to`. */
  exposed(cause: 'ruleset-changed' | 'ruleset-unwatched', from: number, to: number, why: string): void
  flush(): void
}

/** Of changes to our tables and of what came of them. */
const WINDOW_MS = 10_000
/** Container engines change their tables all day long. */
const FOREIGN_WINDOW_MS = 600_000

export function evidence({ audit, gap }: { readonly audit: Audit; readonly gap: Gap }): Evidence {
  const record =
    (event: string) => (told: { sample: Tampering; count: number; from: number; to: number }) => {
      const { by, pid, table, what } = told.sample
      const span = told.count === 1 ? {} : { from: told.from, to: told.to }
      audit(event, { by, ...(pid === undefined ? {} : { pid }), table, what, count: told.count, ...span })
    }
  const ours = tally<Tampering>(WINDOW_MS, record('ruleset-changed'))
  const theirs = tally<Tampering>(FOREIGN_WINDOW_MS, record('foreign-ruleset-changed'))
  // Spans that are told together are told as one: a gap may be said too long, never too short.
  const spans = tally<{ cause: GapCause; why: string }>(WINDOW_MS, ({ sample, count, from, to }) =>
    gap(sample.cause, from, to, { what: sample.why, count }),
  )
  return {
    tampered: (change, at) => ours.add(`${change.by} ${change.table}`, change, at, at),
    foreign: (change, at) => theirs.add(`${change.by} ${change.table}`, change, at, at),
    exposed: (cause, from, to, why) => spans.add(cause, { cause, why }, from, to),
    flush() {
      for (const each of [ours, theirs, spans]) each.flush()
    },
  }
}
