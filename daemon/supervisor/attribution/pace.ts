/**
 * Keeps a thread's work at a share of one core: what it may use accrues with time, a little of it may be saved up so that
 * a single question is answered at once, and who has used more rests.
 */
import { setTimeout as delay } from 'node:timers/promises'

/** With what was saved up, under a quarter of a core over any five seconds. */
const SHARE = 0.2
const SAVED_MS = 200
/** Work between two looks at the clock, so that looking costs nothing. */
const STEPS = 32

export interface PaceOptions {
  readonly share?: number
  readonly savedMs?: number
  /** CPU time used by the work so far, in milliseconds. */
  readonly used?: () => number
  readonly now?: () => number
  readonly rest?: (ms: number) => Promise<unknown>
}

export class Pace {
  readonly #share: number
  readonly #saved: number
  readonly #used: () => number
  readonly #now: () => number
  readonly #rest: (ms: number) => Promise<unknown>
  #balance: number
  #at: number
  #spent: number
  #steps = 0

  constructor({
    share = SHARE,
    savedMs = SAVED_MS,
    used = threadTime,
    now = () => performance.now(),
    rest = delay,
  }: PaceOptions = {}) {
    this.#share = share
    this.#saved = savedMs
    this.#used = used
    this.#now = now
    this.#rest = rest
    this.#balance = savedMs
    this.#at = now()
    this.#spent = used()
  }

  /** To be asked once per small piece of work; true where {@link rested} must be awaited before the next. */
  step(): boolean {
    this.#steps += 1
    if (this.#steps < STEPS) return false
    this.#steps = 0
    return this.#settle() < 0
  }

  /** Rests as long as too much was used; at once where nothing was. */
  async rested(): Promise<void> {
    for (let balance = this.#settle(); balance < 0; balance = this.#settle()) {
      await this.#rest(Math.ceil(-balance / this.#share))
    }
  }

  #settle(): number {
    const now = this.#now()
    const spent = this.#used()
    const accrued = this.#balance + (now - this.#at) * this.#share
    this.#balance = Math.min(this.#saved, accrued) - (spent - this.#spent)
    this.#at = now
    this.#spent = spent
    return this.#balance
  }
}

/** CPU time of this thread, in milliseconds. */
export function threadTime(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
