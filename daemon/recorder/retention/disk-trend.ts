/** When the disk will be full, should what is left go on shrinking as it did; pure. */
import type { Space } from './free-space.ts'

const STEP_MS = 5 * 60_000
const WINDOW_MS = 24 * 3600_000
/** Over less, a single large file would tell the future. */
const LEAST_MS = 30 * 60_000
/** Further off it says nothing. */
const MOST_AHEAD_MS = 366 * 24 * 3600_000

export class DiskTrend {
  readonly #samples: { readonly time: number; readonly free: number }[] = []
  #fullAt: number | undefined

  /**
   * @param reserve bytes at which nothing new is begun any more: that is full
   * @returns milliseconds since the epoch; undefined where it isn't known, or nothing is used up
   */
  look({ free }: Space, reserve: number, now = Date.now()): number | undefined {
    const samples = this.#samples
    const last = samples.at(-1)
    if (last !== undefined && now - last.time < STEP_MS && now >= last.time) return this.#fullAt
    samples.push({ time: now, free })
    while (samples.length > 0 && Math.abs(now - samples[0]!.time) > WINDOW_MS) samples.shift()
    const first = samples[0]!
    const rate = (first.free - free) / (now - first.time)
    const ahead = Math.max(0, free - reserve) / rate
    const known = now - first.time >= LEAST_MS && rate > 0 && ahead <= MOST_AHEAD_MS
    this.#fullAt = known ? now + ahead : undefined
    return this.#fullAt
  }
}
