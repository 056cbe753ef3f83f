/**
 * Since when leaves are in the log, in little memory: marks of when the log was how large. Where marks are given up, the
 * leaves behind them count as older than they are, never as younger. Pure.
 */
interface Mark {
  /** The first leaf that is no older. */
  readonly from: bigint
  /** Milliseconds since the epoch. */
  readonly at: number
}

const MAX_MARKS = 4096

export class LeafAges {
  #marks: Mark[] = []
  /** What was there before: its age is somebody else's to tell. */
  readonly #before: bigint
  #size: bigint

  /** @param size leaves that are there already */
  constructor(size: bigint) {
    this.#before = size
    this.#size = size
  }

  /** The log has so many leaves now. */
  grew(size: bigint, now: number): void {
    if (size <= this.#size) return
    this.#marks.push({ from: this.#size, at: now })
    this.#size = size
    if (this.#marks.length > MAX_MARKS) this.#marks = this.#marks.filter((_, i) => i % 2 === 0)
  }

  /** When a leaf came; undefined for one that was there before. */
  since(leaf: bigint): number | undefined {
    return leaf < this.#before ? undefined : this.#marks.findLast(({ from }) => from <= leaf)?.at
  }

  /** Leaves before this one are asked for no more. */
  forget(leaf: bigint): void {
    const first = this.#marks.findLastIndex(({ from }) => from <= leaf)
    if (first > 0) this.#marks = this.#marks.slice(first)
  }
}
