/** The detectors that a rule names, over text. */
import type { Frozen } from '../frozen.ts'
import { onceEach } from '../once-each.ts'
import type { Detector, Match } from './detector.ts'
import { ownPattern } from './own-pattern.ts'
import { card, email, iban } from './personal.ts'
import { secrets } from './secrets.ts'

const BUILT_IN: Readonly<Record<string, Detector>> = { secrets, email, card, iban }
export const BUILT_IN_DETECTORS = Object.keys(BUILT_IN)

export type OwnDetectors = Frozen<{ name: string; pattern: string }[]>

const compiled = onceEach(
  (own: OwnDetectors): ReadonlyMap<string, Detector> =>
    new Map([
      ...Object.entries(BUILT_IN),
      ...own.map(({ name, pattern }) => [name, ownPattern(name, pattern)] as const),
    ]),
)

/** What these detectors find, in order, none overlapping: the one that begins first stands, the longer of two. */
export function detect(own: OwnDetectors, names: readonly string[], text: string): Match[] {
  const known = compiled(own)
  const found = names.flatMap((name) => [...(known.get(name)?.(text) ?? [])])
  found.sort((a, b) => a.start - b.start || b.end - a.end)
  const kept: Match[] = []
  for (const match of found) if (match.start >= (kept.at(-1)?.end ?? 0)) kept.push(match)
  return kept
}
