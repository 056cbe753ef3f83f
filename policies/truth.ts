/**
 * Whether something holds, where that may not be known: `unknown` for good, `awaited` as long as more is to come. So
 * nothing is guessed, and what decides doesn't wait for what can't change it.
 */
export type Truth = 'yes' | 'no' | 'unknown' | 'awaited'

export const known = (holds: boolean): Truth => (holds ? 'yes' : 'no')

/** All must hold; yes where there are none. */
export function all(truths: Iterable<Truth>): Truth {
  let found: Truth = 'yes'
  for (const truth of truths) {
    if (truth === 'no') return 'no'
    if (truth === 'awaited' || (truth === 'unknown' && found === 'yes')) found = truth
  }
  return found
}

/** One must hold; no where there are none. */
export function any(truths: Iterable<Truth>): Truth {
  let found: Truth = 'no'
  for (const truth of truths) {
    if (truth === 'yes') return 'yes'
    if (truth === 'awaited' || (truth === 'unknown' && found === 'no')) found = truth
  }
  return found
}
