/**
 * When a dead child is started again: at once the first time, then 0.25 s doubling to 15 s; a child that lived
 * for a minute is forgiven. A crash loop must neither spin the CPU nor leave traffic refused for long.
 */
export interface BackOff {
  /** Milliseconds to wait before the next start, given how long the child had lived. */
  next(livedMs: number): number
}

const FIRST_MS = 250
const LONGEST_MS = 15_000
const FORGIVEN_AFTER_MS = 60_000

export function backOff(): BackOff {
  let failures = 0
  return {
    next(livedMs) {
      if (livedMs >= FORGIVEN_AFTER_MS) failures = 0
      const wait = failures === 0 ? 0 : Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS)
      failures += 1
      return wait
    },
  }
}
