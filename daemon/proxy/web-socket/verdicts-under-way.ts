/** Verdicts about messages that wait to be recorded: each belongs to the turn that its message is recorded in. */
import type { Judged } from '../examination/judged.ts'

export class VerdictsUnderWay {
  /** Bytes that went on to be recorded, and that were. */
  #passed = 0
  #taken = 0
  #verdicts: { readonly at: number; readonly judged: Judged }[] = []

  passed(bytes: Buffer): void {
    this.#passed += bytes.length
  }

  /** About the message that goes on next. */
  add(judged: Judged): void {
    this.#verdicts.push({ at: this.#passed, judged })
  }

  /** @returns those about messages that begin in the next of these bytes */
  taken(bytes: Buffer): Judged[] {
    this.#taken += bytes.length
    const later = this.#verdicts.findIndex(({ at }) => at >= this.#taken)
    const those = this.#verdicts.splice(0, later === -1 ? this.#verdicts.length : later)
    return those.map(({ judged }) => judged)
  }
}
