/**
 * How far a long task is: a bar that is drawn over itself on a terminal, a line for each tenth elsewhere where it takes a
 * while, nothing beside a document for a program. It goes to standard error.
 */
export interface Screen {
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
  write(text: string): unknown
}

export interface Progress {
  /** Another part of the task begins, of which no more is known. */
  part(name: string): void
  at(done: bigint, of: bigint): void
  /** Takes the bar away, so that what is printed next stands by itself. */
  clear(): void
}

const REDRAW_MS = 100
const QUIET_MS = 1000
const BAR_COLUMNS = 30

const NONE: Progress = { part() {}, at() {}, clear() {} }

export const progressOf = (what: string, { json }: { readonly json: boolean }): Progress =>
  json ? NONE : progressOn(process.stderr, what)

export function progressOn(screen: Screen, what: string, now: () => number = Date.now): Progress {
  return screen.isTTY === true ? bar(screen, what, now) : lines(screen, what, now)
}

const percent = (done: bigint, of: bigint): number => (of === 0n ? 100 : Number((done * 100n) / of))

function bar(screen: Screen, what: string, now: () => number): Progress {
  let drawn: number | undefined
  // A line that wraps can't be drawn over.
  const draw = (text: string) =>
    screen.write(`\r\x1b[K${text.slice(0, Math.max(1, (screen.columns ?? 80) - 1))}`)
  return {
    part(name) {
      drawn = now()
      draw(`${what}: ${name} …`)
    },
    at(done, of) {
      if (drawn !== undefined && now() - drawn < REDRAW_MS && done < of) return
      drawn = now()
      const share = percent(done, of)
      const full = Math.round((share * BAR_COLUMNS) / 100)
      draw(`${what} [${'#'.repeat(full)}${' '.repeat(BAR_COLUMNS - full)}] ${share} % (${done} of ${of})`)
    },
    clear() {
      if (drawn !== undefined) screen.write('\r\x1b[K')
      drawn = undefined
    },
  }
}

function lines(screen: Screen, what: string, now: () => number): Progress {
  const begun = now()
  // Who waited no longer than that needs no line about it.
  const tell = (text: string) => {
    if (now() - begun >= QUIET_MS) screen.write(`${what}: ${text}\n`)
  }
  let told = 0
  return {
    part: tell,
    at(done, of) {
      const tenth = Math.floor(percent(done, of) / 10)
      if (tenth <= told) return
      told = tenth
      tell(`${tenth * 10} % (${done} of ${of})`)
    },
    clear() {},
  }
}
