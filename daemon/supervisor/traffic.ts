/** What the workers count, together, since the gateway's start: a worker's own counters begin anew with it. Pure. */
import { z } from 'zod'

const Count = z.int().nonnegative()

/** As a worker says them; `connections`, `holding`: now, the others since its start. */
export const WorkerCounters = z.object({
  connections: Count,
  holding: Count,
  exchanges: Count,
  spliced: Count,
  refused: Count,
  failed: Count,
  tunnels: Count,
  unrecorded: Count,
  lostRefusals: Count,
  held: Count,
  undelivered: Count,
  early: Count,
})
export type WorkerCounters = z.infer<typeof WorkerCounters>

const NOW = new Set<string>(['connections', 'holding'])
/** Before there was a worker. */
export const NOTHING = WorkerCounters.parse(
  Object.fromEntries(Object.keys(WorkerCounters.shape).map((key) => [key, 0])),
)

export class Traffic {
  /** Of workers that are gone. */
  #before = NOTHING
  readonly #workers = new Map<string, WorkerCounters>()
  readonly #changed: () => void

  constructor(changed: () => void = () => {}) {
    this.#changed = changed
  }

  /** What a worker says now. */
  says(worker: string, counters: WorkerCounters): void {
    this.#workers.set(worker, counters)
    this.#changed()
  }

  /** It ended, and with it what it had open. */
  ended(worker: string): void {
    const last = this.#workers.get(worker)
    this.#workers.delete(worker)
    if (last) this.#before = sum([this.#before, { ...last, connections: 0, holding: 0 }])
  }

  total(): WorkerCounters {
    return sum([this.#before, ...this.#workers.values()])
  }
}

/** The keys of what only grows. */
export const GROWING = Object.keys(NOTHING).filter((key) => !NOW.has(key)) as (keyof WorkerCounters)[]

function sum(all: readonly WorkerCounters[]): WorkerCounters {
  const keys = Object.keys(NOTHING) as (keyof WorkerCounters)[]
  const total = { ...NOTHING }
  for (const counters of all) for (const key of keys) total[key] += counters[key]
  return total
}
