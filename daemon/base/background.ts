/** Work in the background: below the threads that agents wait for. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

const NICENESS = 10
const THREADS = '/proc/self/task'

/** Lowers the calling thread, on Linux that thread alone: setpriority(2) with 0. */
export function workInBackground(): void {
  lower(0)
}

/**
 * Lowers V8's own threads of this process, which compile. One that is woken takes the processor from the thread that woke
 * it, for half a millisecond, also where another processor is idle: what agents wait for goes first. Where V8 collects
 * garbage in these threads, too, the calling one waits for them: start the process with --single-threaded-gc.
 * Does nothing where threads have no names and priorities of their own (macOS).
 */
export function compileInBackground(): void {
  if (!existsSync(THREADS)) return
  for (const thread of readdirSync(THREADS)) if (nameOf(thread) === 'V8Worker') lower(Number(thread))
}

/** Where the daemon itself was started lower it stays there: going up takes a privilege that its children don't have. */
function lower(thread: number): void {
  if (getPriority(thread) < NICENESS) setPriority(thread, NICENESS)
}

/** Undefined where it has ended by now. */
function nameOf(thread: string): string | undefined {
  try {
    return readFileSync(`${THREADS}/${thread}/comm`, 'utf8').trim()
  } catch {
    return undefined
  }
}
