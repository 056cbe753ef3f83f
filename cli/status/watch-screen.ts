/**
 * Looks again and again, until Ctrl-C: on a terminal in place, on its second screen, so that the first is as it was when
 * it ends; elsewhere one line after the other. Sequences: xterm's ctlseqs, which tmux and screen know too.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { WriteStream } from 'node:tty'

interface Watched<T> {
  readonly stream: Pick<WriteStream, 'write' | 'rows' | 'on' | 'off'>
  /** On a terminal that can. */
  readonly inPlace: boolean
  /** The whole screen's text. */
  screen(seen: T): string
  /** Prints what was seen where it can't be drawn in place. */
  line(seen: T): void
}

const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'
const ENDS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export async function watchScreen<T>(
  look: () => Promise<T>,
  everyMs: number,
  { stream, inPlace, screen, line }: Watched<T>,
): Promise<void> {
  const ended = new AbortController()
  const { signal } = ended
  const end = () => ended.abort()
  let seen: T | undefined
  const draw = () => {
    if (seen !== undefined) stream.write(frame(screen(seen), stream.rows))
  }
  const enter = () => {
    stream.write(ENTER)
    draw()
  }
  /** Ctrl-Z: the shell gets its own screen while this sleeps. */
  const sleep = () => {
    stream.write(LEAVE)
    process.kill(process.pid, 'SIGSTOP')
  }
  for (const name of ENDS) process.on(name, end)
  if (inPlace) {
    process.on('SIGTSTP', sleep).on('SIGCONT', enter)
    stream.on('resize', draw)
    enter()
  }
  try {
    while (!signal.aborted) {
      const found = await unlessAborted(look(), signal)
      if (found === undefined) break
      seen = found
      if (inPlace) draw()
      else line(found)
      await delay(everyMs, undefined, { signal }).catch(() => {})
    }
  } finally {
    for (const name of ENDS) process.off(name, end)
    if (inPlace) {
      process.off('SIGTSTP', sleep).off('SIGCONT', enter)
      stream.off('resize', draw)
      stream.write(LEAVE)
    }
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const stop = () => resolve(undefined)
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Drawn over the last one, without a blank in between; what doesn't fit is counted instead. */
export function frame(text: string, rows = 24): string {
  const lines = text.split('\n')
  const fit =
    lines.length <= rows ? lines : [...lines.slice(0, rows - 1), `… ${lines.length - rows + 1} more lines`]
  return `\x1b[H${fit.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`
}
