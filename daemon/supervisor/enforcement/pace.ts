/**
 * How soon the next restoration may start: at once, a moment after one before, and four a second where somebody
 * keeps undoing them. A fight with another program must not take the machine's time. Pure but for its memory.
 */
const LEAST_MS = 25
const FIGHT_MS = 250
const FIGHT = { times: 40, withinMs: 10_000 }

/** Gives the milliseconds to wait at `now`, and takes it that the restoration then starts. */
export function pace(): (now: number) => number {
  const starts: number[] = []
  return (now) => {
    const last = starts.at(-1) ?? Number.NEGATIVE_INFINITY
    const oldest = starts.length === FIGHT.times ? (starts[0] ?? 0) : Number.NEGATIVE_INFINITY
    const spacing = now - oldest < FIGHT.withinMs ? FIGHT_MS : LEAST_MS
    const wait = Math.max(0, Math.min(last + spacing - now, spacing))
    starts.push(now + wait)
    if (starts.length > FIGHT.times) starts.shift()
    return wait
  }
}
