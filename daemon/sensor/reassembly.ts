/**
 * Bytes that arrive in pieces, in any order and more than once: the beginning of a TCP stream, a QUIC CRYPTO
 * stream, an IP datagram. Bounded; where pieces overlap the first one counts.
 */
export class Reassembly {
  readonly #limit: number
  #bytes = Buffer.alloc(0)
  /** Filled spans, sorted, apart from each other. */
  #spans: [from: number, to: number][] = []

  /** @param limit bytes that are kept, from offset 0 on; what lies beyond is left out */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Bytes of memory that it holds. */
  get size(): number {
    return this.#bytes.length
  }

  /** Copies a piece. False where the pieces lie too scattered, which nobody does by accident: nothing was added. */
  add(offset: number, piece: Buffer): boolean {
    const end = Math.min(offset + piece.length, this.#limit)
    if (offset < 0 || end <= offset) return true
    this.#grow(end)
    let at = offset
    const filled: [number, number][] = []
    for (const span of this.#spans) {
      if (span[1] <= at || span[0] >= end) continue
      if (span[0] > at) filled.push([at, span[0]])
      at = Math.max(at, span[1])
    }
    if (at < end) filled.push([at, end])
    for (const [from, to] of filled) piece.copy(this.#bytes, from, from - offset, to - offset)
    const merged = merge([...this.#spans, ...filled])
    if (merged.length > MOST_SPANS) return false
    this.#spans = merged
    return true
  }

  /** What is there without a hole, from offset 0 on. */
  start(): Buffer {
    const first = this.#spans[0]
    return first?.[0] === 0 ? this.#bytes.subarray(0, first[1]) : this.#bytes.subarray(0, 0)
  }

  #grow(end: number): void {
    if (end <= this.#bytes.length) return
    const grown = Buffer.alloc(Math.min(Math.max(end, 2 * this.#bytes.length), this.#limit))
    this.#bytes.copy(grown)
    this.#bytes = grown
  }
}

/** Holes are few where packets are lost or overtake each other; each costs time to look at. */
const MOST_SPANS = 64

function merge(spans: readonly [number, number][]): [number, number][] {
  const merged: [number, number][] = []
  for (const [from, to] of spans.toSorted((a, b) => a[0] - b[0])) {
    const last = merged.at(-1)
    if (last && from <= last[1]) last[1] = Math.max(last[1], to)
    else merged.push([from, to])
  }
  return merged
}
