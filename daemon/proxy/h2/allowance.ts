/**
 * How many streams an agent may give up or have refused on one connection: opening and resetting them is cheap for it,
 * and costs a record each (CVE-2023-44487). Honest clients cancel now and then.
 */
const BURST = 1000
const PER_SECOND = 33

export class Allowance {
  #left = BURST
  #at: number

  /** @param now milliseconds of a monotonic clock */
  constructor(now: number) {
    this.#at = now
  }

  /** @returns false where it is used up */
  spend(now: number): boolean {
    this.#left = Math.min(BURST, this.#left + ((now - this.#at) / 1000) * PER_SECOND)
    this.#at = now
    this.#left -= 1
    return this.#left >= 0
  }
}
