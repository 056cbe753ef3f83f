/** When the pieces of a response's body came, for what a stream's times say. */
import type { Streaming } from '../derived.ts'

/** Pieces whose times are kept: 1 MiB of numbers at most, whatever a provider sends. */
const MAX_PIECES = 65_536

export class Arrivals {
  /** Where each piece ends in the body as stored. */
  readonly ends: number[] = []
  readonly #times: number[] = []
  readonly #start: number
  #size = 0
  #pieces = 0

  /** @param start of the exchange, milliseconds as the times below */
  constructor(start: number) {
    this.#start = start
  }

  note(bytes: number, time: number): void {
    this.#size += bytes
    this.#pieces++
    if (this.#pieces > MAX_PIECES) return
    this.ends.push(this.#size)
    this.#times.push(time)
  }

  /** Seconds until the first piece. */
  firstChunk(): number | undefined {
    const first = this.#after(0)
    return first === undefined ? undefined : rounded(first / 1000, 1e6)
  }

  /** @param firstToken index of the piece that completed the first event with output */
  streaming(firstToken: number | undefined): Streaming {
    const gaps = this.#times.slice(1).map((time, i) => duration(this.#times[i]!, time) ?? 0)
    gaps.sort((a, b) => a - b)
    const token = firstToken === undefined ? undefined : this.#after(firstToken)
    return {
      pieces: this.#pieces,
      ...(token !== undefined && { firstToken: rounded(token, 1e3) }),
      ...(gaps.length > 0 && {
        gapP50: rounded(gaps[(gaps.length - 1) >> 1]!, 1e3),
        gapMax: rounded(gaps.at(-1)!, 1e3),
      }),
    }
  }

  #after(piece: number): number | undefined {
    const time = this.#times[piece]
    return time === undefined ? undefined : duration(this.#start, time)
  }
}

/** Times are the proxy's word: a clock may jump back, and a number may be none. */
function duration(from: number, to: number): number | undefined {
  return Number.isFinite(to - from) ? Math.max(0, to - from) : undefined
}

function rounded(value: number, parts: number): number {
  return Math.round(value * parts) / parts
}
