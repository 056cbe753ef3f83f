/** What an installation waits for, with the seconds, on a terminal's line that goes again when it is there. */
import type { Screen } from '../cli/progress.ts'

const TICK_MS = 1000
/** `\r` goes back to the line's first column, the rest clears it. */
const CLEAR = '\r\x1b[K'

/**
 * @param what short: a line that wraps can't be drawn over
 * @param work prints nothing itself
 */
export async function whilst<T>(
  what: string,
  work: Promise<T>,
  screen: Screen = process.stdout,
  tickMs = TICK_MS,
): Promise<T> {
  if (screen.isTTY !== true) return work
  let ticks = 0
  const draw = () =>
    screen.write(`${CLEAR}${' '.repeat(12)}${what} … ${Math.round((ticks++ * tickMs) / 1000)} s`)
  draw()
  const timer = setInterval(draw, tickMs)
  try {
    return await work
  } finally {
    clearInterval(timer)
    screen.write(CLEAR)
  }
}
