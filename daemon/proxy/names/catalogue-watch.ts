/**
 * Looks up the catalogue's literal names every few minutes, so that the kernel knows providers' addresses before
 * an agent dials them. A few at a time, with jitter: name servers aren't flooded.
 *
 * Names that no name server answers for are asked about again soon, as they are at boot, when DNS comes up after us.
 */
import { NODATA, NOTFOUND } from 'node:dns'

const CONCURRENCY = 8
const PACE: Pace = { intervalMs: 5 * 60_000, soonMs: 1000, latestMs: 10_000 }

export interface Pace {
  /** Between two rounds through the catalogue. */
  readonly intervalMs: number
  /** After how long names without an answer are asked about again: doubled each time. */
  readonly soonMs: number
  /** The most that doubling leads to as long as nothing is answered at all. */
  readonly latestMs: number
}

export interface CatalogueWatch {
  /** Settles after the first round. */
  readonly first: Promise<void>
  /** The catalogue is another: those that are new are looked up at once. */
  names(names: readonly string[]): void
  /** The machine's network is another: what had no answer may have one now. */
  again(): void
  stop(): void
}

/**
 * @param resolve rejects with a resolver's error as its cause
 * @param told whether any name server answers: after the first round, and whenever it changes
 */
export function watchCatalogue(
  initial: readonly string[],
  resolve: (name: string) => Promise<unknown>,
  told: (answered: boolean) => void = () => {},
  { intervalMs, soonMs, latestMs }: Pace = PACE,
): CatalogueWatch {
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  let names = initial
  let answered: boolean | undefined
  let unanswered: readonly string[] = []
  let began = -Infinity
  let waits = 0
  let busy = false
  let more = false

  const lookUp = async (these: readonly string[]) => {
    const left = [...these]
    const failed: string[] = []
    let answers = 0
    const lane = async () => {
      for (let name = left.pop(); name !== undefined && !stopped; name = left.pop()) {
        const found = await resolve(name).then(() => true, isAnswer)
        if (found) answers += 1
        else failed.push(name)
        // Each of so many names costs seconds where nobody answers: the others would hear the same.
        if (answers === 0 && failed.length >= CONCURRENCY) return
      }
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, lane))
    unanswered = [...failed, ...left]
    // A few that are asked about once more say nothing of all.
    const now = answers > 0 || these.length === 0 || (these.length < names.length && answered !== false)
    if (now !== answered && !stopped) told(now)
    answered = now
  }
  const round = async (these: readonly string[]) => {
    if (these === names) began = performance.now()
    busy = true
    await lookUp(these)
    busy = false
    if (stopped) return
    if (more) return next()
    waits = unanswered.length === 0 ? 0 : waits + 1
    const soon = soonMs * 2 ** Math.min(waits - 1, 30)
    const wait = waits === 0 ? intervalMs : Math.min(soon, answered ? intervalMs : latestMs)
    timer = setTimeout(next, wait * (0.9 + 0.2 * Math.random()))
    timer.unref()
  }
  const next = () => {
    clearTimeout(timer)
    const all = more || unanswered.length === 0 || performance.now() - began >= intervalMs
    more = false
    void round(all ? names : unanswered.filter((name) => names.includes(name)))
  }
  const now = () => {
    waits = 0
    if (!busy) next()
  }
  return {
    first: round(names),
    names(given) {
      names = given
      more = true
      now()
    },
    again() {
      if (unanswered.length > 0) now()
    },
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}

/** That there is no such name, or no address of it, is an answer too; the one that dials it hears why. */
const isAnswer = (error: unknown): boolean =>
  error instanceof Error &&
  error.cause instanceof Error &&
  'code' in error.cause &&
  (error.cause.code === NOTFOUND || error.cause.code === NODATA)
