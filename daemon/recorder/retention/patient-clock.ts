/**
 * The time that content's age is taken by. What goes by age is gone for good, so a clock that says it is much later than
 * the newest record and the time since allow (set ahead by mistake, wrong after a boot; a machine that was off or slept
 * looks the same) is believed once it has said so for an hour.
 */
const BELIEVED_AFTER_MS = 3600_000
/** Clocks are corrected by so much, and it ages nothing. */
const TOLERANCE_MS = 60_000

export class PatientClock {
  /** A wall-clock time that is believed, and the monotonic clock then. */
  #believed: { readonly wall: number; readonly steady: number }
  /** Since when the wall clock is ahead of what is believed. */
  #aheadSince: number | undefined

  /** @param lastKnown milliseconds since the epoch, of the newest record; the wall clock where there is none */
  constructor(lastKnown: number, steady: number) {
    this.#believed = { wall: lastKnown, steady }
  }

  /** Milliseconds since the epoch. @param steady of a monotonic clock, milliseconds */
  look(wall: number, steady: number): number {
    const expected = this.#believed.wall + (steady - this.#believed.steady)
    if (wall > expected + TOLERANCE_MS) {
      this.#aheadSince ??= steady
      if (steady - this.#aheadSince < BELIEVED_AFTER_MS) return expected
    }
    this.#aheadSince = undefined
    this.#believed = { wall, steady }
    return wall
  }
}
