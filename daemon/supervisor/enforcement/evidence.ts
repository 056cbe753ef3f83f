/** What the guard saw and did, as audit and gap records at a bounded rate with exact counts. */
import type { GapCause } from '../coverage.ts'
import type { IdentifiedEvidence } from '../evidence-lines.ts'
import type { Tampering } from './ruleset-guard.ts'
import { type Told, tally } from './tally.ts'

export type Detail = Record<string, string | number | boolean>
export type Audit = (event: string, detail: Detail, id?: string) => void
export type Gap = (cause: GapCause, from: number, to: number, detail?: Detail, id?: string) => void
/** What would be told if we ended now. */
export type Draft = (evidence: IdentifiedEvidence) => void

export interface Evidence {
  /** The last change by somebody else to tables of ours. */
  last(): { readonly time: number; readonly by: string; readonly what: string } | undefined
  /** A change to tables of ours. */
  tampered(change: Tampering): void
  /**
   * A look that began at `since` (`performance.now()`) found a change. News of it may be on its way, and says who
   * made it: then it isn't told twice.
   */
  found(table: string, what: string, since: number): void
  /** Changes of other people's tables: who works on the ruleset beside us. */
  foreign(change: Tampering): void
  /** Somebody changed, in these words, what turns packets beside the ruleset. */
  path(what: string): void
  /** Our rules were not known to stand from `from` to `to`. */
  exposed(cause: 'ruleset-changed' | 'ruleset-unwatched', from: number, to: number, why: string): void
  flush(): void
}

/** Of changes to our tables and of what came of them. */
const WINDOW_MS = 10_000
/** How long the news of a change may take to arrive. */
const NEWS_MS = 250
/** Container engines change their tables all day long. */
const FOREIGN_WINDOW_MS = 600_000

export function evidence({
  audit,
  gap,
  draft,
}: {
  readonly audit: Audit
  readonly gap: Gap
  readonly draft: Draft
}): Evidence {
  const changes = (windowMs: number, event: string) =>
    tally<Tampering>(
      windowMs,
      (told) => audit(event, detailOf(told), told.id),
      (told) => draft({ type: 'audit', id: told.id, time: told.to, event, detail: detailOf(told) }),
    )
  const ours = changes(WINDOW_MS, 'ruleset-changed')
  const theirs = changes(FOREIGN_WINDOW_MS, 'foreign-ruleset-changed')
  const paths = tally<string>(
    FOREIGN_WINDOW_MS,
    ({ id, sample, count }) => audit('path-changed', { what: sample, count }, id),
    ({ id, sample, count, to }) =>
      draft({ type: 'audit', id, time: to, event: 'path-changed', detail: { what: sample, count } }),
  )
  // Spans that are told together are told as one: a gap may be said too long, never too short.
  const spans = tally<{ cause: GapCause; why: string }>(
    WINDOW_MS,
    ({ id, sample, count, from, to }) => gap(sample.cause, from, to, { what: sample.why, count }, id),
    ({ id, sample: { cause, why }, count, from, to }) =>
      draft({ type: 'gap', id, cause, from, to, detail: { what: why, count } }),
  )
  let last: ReturnType<Evidence['last']>
  let lastNamed = Number.NEGATIVE_INFINITY
  let unnamed: { readonly change: Tampering; readonly timer: NodeJS.Timeout } | undefined
  const tell = (change: Tampering) => {
    const time = Date.now()
    last = { time, by: change.by, what: `${change.table}: ${change.what}` }
    ours.add(`${change.by} ${change.table}`, change, time, time)
  }
  const tellUnnamed = () => {
    if (!unnamed) return
    const { change, timer } = unnamed
    clearTimeout(timer)
    unnamed = undefined
    tell(change)
  }
  return {
    last: () => last,
    tampered(change) {
      lastNamed = performance.now()
      clearTimeout(unnamed?.timer)
      unnamed = undefined
      tell(change)
    },
    found(table, what, since) {
      if (lastNamed >= since) return
      tellUnnamed()
      const change = { by: 'unknown', pid: undefined, table, what }
      unnamed = { change, timer: setTimeout(tellUnnamed, NEWS_MS).unref() }
    },
    foreign(change) {
      // A translation isn't to wait, nor to go unnamed, behind a harmless change of the same table.
      const key = `${change.by} ${change.table} ${change.weight ?? ''}`
      theirs.add(key, change, Date.now(), Date.now())
    },
    path: (what) => paths.add(what, what, Date.now(), Date.now()),
    exposed: (cause, from, to, why) => spans.add(cause, { cause, why }, from, to),
    flush() {
      tellUnnamed()
      for (const each of [ours, theirs, paths, spans]) each.flush()
    },
  }
}

function detailOf({ sample, count, from, to }: Told<Tampering>): Detail {
  const { by, pid, table, what } = sample
  const span = count === 1 ? {} : { from, to }
  return { by, ...(pid === undefined ? {} : { pid }), table, what, count, ...span }
}
