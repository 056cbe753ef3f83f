/** Work in the background: below the threads that agents wait for. */
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

const NICENESS = 10
const THREADS = '/proc/self/task'

/**
 * Lowers the calling thread, on Linux that thread alone: setpriority(2) with 0. Where the daemon itself was started
 * lower it stays there, since going up takes a privilege that its children don't have.
 */
export function workInBackground(): void {
  if (getPriority(0) < NICENESS) setPriority(0, NICENESS)
}

/**
 * Lowers V8's own threads of this process, which compile. One that is woken takes the processor from the thread that woke
 * it, for half a millisecond, also where another processor is idle: what agents wait for goes first. Where V8 collects
 * garbage in these threads, too, the calling one waits for them: start the process with --single-threaded-gc.
 */
export function compileInBackground(): void {
  for (const thread of readdirSync(THREADS)) {
    if (readFileSync(`${THREADS}/${thread}/comm`, 'utf8').trim() === 'V8Worker')
      setPriority(Number(thread), NICENESS)
  }
}
