/**
 * When the fence is looked at and when it is raised again. Changes that come together cost one restoration; one
 * that comes while it is under way costs one more, since it may have come after.
 */
import { pace } from './pace.ts'
import type { Tampering } from './ruleset-guard.ts'

export interface Restorer {
  /** Somebody changed it, seen by the watch: it is raised again. */
  changed(what: string): void
  /** It may have been changed: it is raised again if it isn't as it was made, `thorough`: to the last element. */
  suspect(thorough: boolean, by?: Suspect): void
  /** It was raised for another reason just now. */
  raised(): void
  stop(): void
}

export interface RestorerOptions {
  /** One change at a time. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>
  /** What isn't as it was made. */
  readonly difference: (
    thorough: boolean,
  ) => Promise<{ readonly table: string; readonly what: string } | undefined>
  readonly raise: () => Promise<void>
  /** A look found a change that nobody saw being made. */
  readonly found: (table: string, what: string, by: Suspect | undefined) => void
  /** It stands again; it may have been down from `from` to `to`, milliseconds since the epoch. */
  readonly restored: (from: number, to: number, what: string) => void
  /** It doesn't stand; another try follows. */
  readonly failed: (error: unknown) => void
}

const RETRY_MS = 500

interface Pending {
  readonly since: number
  /** Where a change was seen; a look decides where it is undefined. */
  readonly what: string | undefined
  readonly thorough: boolean
  /** Who made a change of which no more is known; the first one, where there were several. */
  readonly by: Suspect | undefined
}

type Suspect = Pick<Tampering, 'by' | 'pid'>

export function restorer(options: RestorerOptions): Restorer {
  const nextStart = pace()
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  /** When it was last known to be as it was made. */
  let good = Date.now()
  let pending: Pending | undefined

  const schedule = (delay = 0) => {
    if (stopped || timer) return
    const start = () => {
      timer = undefined
      options.inTurn(work).catch((error: unknown) => {
        if (stopped) return
        options.failed(error)
        schedule(RETRY_MS)
      })
    }
    timer = setTimeout(start, nextStart(Date.now()) + delay)
    timer.unref()
  }
  /** After a failure: what came meanwhile is put right with it. */
  const putBack = (mine: Pending) => {
    pending = {
      ...mine,
      what: mine.what ?? pending?.what,
      thorough: mine.thorough || pending?.thorough === true,
    }
  }
  const work = async () => {
    const mine = pending
    pending = undefined
    if (!mine || stopped) return
    try {
      await restore(mine)
    } catch (error) {
      putBack(mine)
      throw error
    }
  }
  const restore = async (mine: Pending) => {
    const looked = Date.now()
    let { what } = mine
    if (what === undefined) {
      const found = await options.difference(mine.thorough)
      if (!found) {
        good = looked
        return
      }
      options.found(found.table, found.what, mine.by)
      what = `${found.table}: ${found.what}`
    }
    await options.raise()
    options.restored(mine.since, Date.now(), what)
  }

  return {
    changed(what) {
      if (pending?.what === undefined) pending = { since: Date.now(), what, thorough: false, by: undefined }
      schedule()
    },
    suspect(thorough, by) {
      if (pending) pending = { ...pending, thorough: thorough || pending.thorough, by: pending.by ?? by }
      else pending = { since: by ? Date.now() : good, what: undefined, thorough, by }
      schedule()
    },
    raised() {
      good = Date.now()
    },
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}
