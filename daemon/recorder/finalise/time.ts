/** Times from the wire are the sender's: a clock may jump, a hostile worker may say anything. */
const FIRST = Date.UTC(2000, 0, 1)
const LAST = Date.UTC(2200, 0, 1)

/** RFC 3339, UTC, milliseconds. */
export function rfc3339(ms: number): string {
  return new Date(Math.min(LAST, Math.max(FIRST, Number.isFinite(ms) ? ms : FIRST))).toISOString()
}

/** Milliseconds from `start` to `end` with microseconds, never negative. */
export function elapsed(start: number, end: number): number {
  const ms = end - start
  return Number.isFinite(ms) && ms > 0 ? Math.round(ms * 1000) / 1000 : 0
}
