/** Waits for what a machine does in its own time. */
import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE_MS = 60_000

/** @throws where it doesn't come to hold within a minute */
export async function until(holds: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = Date.now() + PATIENCE_MS
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited for ${PATIENCE_MS / 1000} s: ${what}`)
    await sleep(50)
  }
}
