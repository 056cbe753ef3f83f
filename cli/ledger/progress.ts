/** How far a long task is: a bar that is drawn over itself on a terminal, a line for each tenth elsewhere. */
export interface Screen {
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
  write(text: string): unknown
}

export interface Progress {
  at(done: bigint, of: bigint): void
  /** Takes the bar away, so that what is printed next stands by itself. */
  clear(): void
}

const REDRAW_MS = 100
const BAR_COLUMNS = 30

export function progressOn(screen: Screen, what: string, now: () => number = Date.now): Progress {
  return screen.isTTY === true ? bar(screen, what, now) : lines(screen, what)
}

const percent = (done: bigint, of: bigint): number => (of === 0n ? 100 : Number((done * 100n) / of))

function bar(screen: Screen, what: string, now: () => number): Progress {
  let drawn: number | undefined
  return {
    at(done, of) {
      if (drawn !== undefined && now() - drawn < REDRAW_MS && done < of) return
      drawn = now()
      const share = percent(done, of)
      const full = Math.round((share * BAR_COLUMNS) / 100)
      const text = `${what} [${'#'.repeat(full)}${' '.repeat(BAR_COLUMNS - full)}] ${share} % (${done} of ${of})`
      // A line that wraps can't be drawn over.
      screen.write(`\r\x1b[K${text.slice(0, Math.max(1, (screen.columns ?? 80) - 1))}`)
    },
    clear() {
      if (drawn !== undefined) screen.write('\r\x1b[K')
      drawn = undefined
    },
  }
}

function lines(screen: Screen, what: string): Progress {
  let told = 0
  return {
    at(done, of) {
      const tenth = Math.floor(percent(done, of) / 10)
      if (tenth <= told) return
      told = tenth
      screen.write(`${what}: ${tenth * 10} % (${done} of ${of})\n`)
    },
    clear() {},
  }
}
