/** What is to be replaced in one text, by however many searches it was found. */
import { marker } from './detectors/detector.ts'

export interface Replacement {
  readonly start: number
  readonly end: number
  /** What its marker says; undefined where a match goes on that began in another text: that one has the marker. */
  readonly kind: string | undefined
  /** The match that it is a part of. */
  readonly match: number
}

/**
 * Where two overlap the one that begins first has its marker, the longer of two, the earlier found of equals.
 * @param counted takes up the matches that something was replaced for
 */
export function replaced(text: string, found: readonly Replacement[], counted: Set<number>): string {
  const sorted = found.toSorted((a, b) => a.start - b.start || b.end - a.end)
  let made = ''
  let at = 0
  for (const { start, end, kind, match } of sorted) {
    if (start >= at) {
      made += text.slice(at, start) + (kind === undefined ? '' : marker(kind))
      counted.add(match)
    }
    at = Math.max(at, end)
  }
  return made + text.slice(at)
}
