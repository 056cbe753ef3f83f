/** Several texts searched as one, so that a match may stand in more than one of them. */
import type { Match } from './detectors/detector.ts'

/** What of a match stands in one of the texts. */
export interface MatchPart {
  /** Index of the text. */
  readonly at: number
  readonly start: number
  readonly end: number
}

export class JoinedText {
  readonly text: string
  readonly #values: readonly string[]
  readonly #starts: number[] = []

  constructor(values: readonly string[], separator: '' | '\n') {
    let length = 0
    for (const value of values) {
      this.#starts.push(length)
      length += value.length + separator.length
    }
    this.#values = values
    this.text = values.join(separator)
  }

  /** In order; what of it stands between two texts is left out. */
  *partsOf({ start, end }: Match): Generator<MatchPart> {
    for (let at = this.#textAt(start); at < this.#values.length; at++) {
      const first = this.#starts[at] as number
      if (first >= end) return
      const from = Math.max(0, start - first)
      const to = Math.min((this.#values[at] as string).length, end - first)
      if (from < to) yield { at, start: from, end: to }
    }
  }

  /** The last text that begins at `index` or before. */
  #textAt(index: number): number {
    let low = 0
    let high = this.#starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#starts[middle] as number) <= index) low = middle
      else high = middle - 1
    }
    return low
  }
}
