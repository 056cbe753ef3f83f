/**
 * Milliseconds since the epoch with fractions, steady between two events: the monotonic clock on a base that is
 * taken from the wall clock again every minute, so that a stepped clock shows within one.
 */
const REBASE_MS = 60_000

let base = performance.timeOrigin
let rebased = performance.now()

export function now(): number {
  const elapsed = performance.now()
  if (elapsed - rebased > REBASE_MS) {
    base = Date.now() - elapsed
    rebased = elapsed
  }
  return base + elapsed
}
