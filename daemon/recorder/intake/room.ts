/**
 * Whether there is room on the disk: for new exchanges, and for those that have begun to go on. What the journal holds
 * must still fit into the packs, or nothing of it ever gets there: so each byte written takes two from what is left, and
 * an exchange may have no more in the journal than is left beside it. The largest is so the first to be cut, long before
 * the disk is full, and small ones hardly ever are.
 */
import { amount } from '../../base/amount.ts'
import type { FailedPayload } from '../protocol.ts'

/** A span in which exchanges could not be recorded at all. */
export interface LostSpan {
  readonly code: string
  readonly count: number
  readonly from: number
  readonly to: number
}

export class Room {
  readonly #lost: (span: LostSpan) => void
  #refusing: { readonly why: FailedPayload; count: number; readonly from: number } | undefined
  /** Free bytes when they were measured, less those written since. */
  #free = Number.POSITIVE_INFINITY

  /** @param lost hears of what was refused, once nothing more is */
  constructor(lost: (span: LostSpan) => void) {
    this.#lost = lost
  }

  /** From now on new exchanges are refused for this reason; undefined: no more. */
  refuse(why: FailedPayload | undefined): void {
    const before = this.#refusing
    if (why !== undefined) this.#refusing = { count: 0, from: Date.now(), ...before, why }
    else this.endRefusing()
  }

  get refusing(): boolean {
    return this.#refusing !== undefined
  }

  endRefusing(): void {
    const refusing = this.#refusing
    this.#refusing = undefined
    if (refusing === undefined || refusing.count === 0) return
    const { why, count, from } = refusing
    this.#lost({ code: why.code, count, from, to: Date.now() })
  }

  /** Why a new exchange is not to be recorded. */
  refusal(): FailedPayload | undefined {
    if (this.#refusing === undefined) return undefined
    this.#refusing.count++
    return this.#refusing.why
  }

  /** @param free bytes that may be written now */
  measured(free: number): void {
    this.#free = free
  }

  written(bytes: number): void {
    this.#free -= bytes
  }

  /**
   * Why an exchange may not go on.
   * @param size bytes that it would have in the journal
   * @param waiting bytes in the journal of all exchanges that are not in the packs yet
   */
  exceeded(size: number, waiting: number): FailedPayload | undefined {
    const left = Math.max(0, this.#free - waiting)
    if (size <= left) return undefined
    const message = `no space left to record more of this exchange: it has ${amount(size)}, and ${amount(left)} are left beside what waits in the journal`
    return { code: 'NO_SPACE', message }
  }
}
