/** Ctrl-C in the middle of a long task: it ends at the next step, and says where it was. */
import { once } from 'node:events'

export class Interrupted extends Error {
  constructor() {
    super('interrupted: what was done until then stays; run it again to finish')
  }
}

/** Calls `work` with a check to be made at each step. @throws Interrupted from that check, after SIGINT */
export async function interruptible<T>(work: (step: () => void) => Promise<T>): Promise<T> {
  const finished = new AbortController()
  let asked = false
  once(process, 'SIGINT', { signal: finished.signal }).then(
    () => {
      asked = true
    },
    () => undefined,
  )
  try {
    return await work(() => {
      if (asked) throw new Interrupted()
    })
  } finally {
    finished.abort()
  }
}
