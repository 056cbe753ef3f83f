/**
 * Evidence at a bounded rate, without losing count: the first event of a key is told at once, those that follow
 * it within a window as one with their number, and so on while they keep coming. The counts that are told add
 * up to what happened. Times are milliseconds since the epoch.
 */
import { randomUUIDv7 } from 'node:crypto'

export interface Told<Sample> {
  readonly id: string
  /** The first of those that are told together. */
  readonly sample: Sample
  readonly count: number
  readonly from: number
  readonly to: number
}

export interface Tally<Sample> {
  add(key: string, sample: Sample, from: number, to: number): void
  /** Tells what is still held back, at once. */
  flush(): void
}

/** Above it, keys are told under one: whoever makes up names can't grow this. */
const MOST_KEYS = 64

/** @param hold gets what is held back, each time that it is another: it is told under the same id later */
export function tally<Sample>(
  windowMs: number,
  tell: (told: Told<Sample>) => void,
  hold: (told: Told<Sample>) => void = () => {},
): Tally<Sample> {
  interface Held {
    told: Told<Sample> | undefined
    timer: NodeJS.Timeout
  }
  const keys = new Map<string, Held>()

  const release = (key: string, held: Held) => {
    if (!held.told) return keys.delete(key)
    const { told } = held
    held.told = undefined
    held.timer.refresh()
    return tell(told)
  }
  return {
    add(wanted, sample, from, to) {
      const key = keys.has(wanted) || keys.size < MOST_KEYS ? wanted : ''
      const held = keys.get(key)
      if (!held) {
        const fresh: Held = {
          told: undefined,
          timer: setTimeout(() => release(key, fresh), windowMs).unref(),
        }
        keys.set(key, fresh)
        return tell({ id: randomUUIDv7(), sample, count: 1, from, to })
      }
      const { told } = held
      held.told = told
        ? { ...told, count: told.count + 1, from: Math.min(told.from, from), to: Math.max(told.to, to) }
        : { id: randomUUIDv7(), sample, count: 1, from, to }
      hold(held.told)
    },
    flush() {
      for (const { told, timer } of keys.values()) {
        clearTimeout(timer)
        if (told) tell(told)
      }
      keys.clear()
    },
  }
}
