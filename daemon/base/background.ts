/** Work in the background: below the threads that agents wait for. */
import { getPriority, setPriority } from 'node:os'

const NICENESS = 10

/**
 * Lowers the calling thread, on Linux that thread alone: setpriority(2) with 0. Where the daemon itself was started
 * lower it stays there, since going up takes a privilege that its children don't have.
 */
export function workInBackground(): void {
  if (getPriority(0) < NICENESS) setPriority(0, NICENESS)
}
