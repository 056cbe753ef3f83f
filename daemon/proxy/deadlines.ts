/**
 * Deadlines of connections, looked at once a second: a number in each instead of a timer for each request.
 * Coarse on purpose: these bound what a slow or silent peer can hold on to, nothing waits for them.
 */
export interface Bounded {
  /** {@link Deadlines.now} after which `expire` is called; Infinity for none. */
  deadline: number
  expire(): void
}

const INTERVAL_MS = 1000

export class Deadlines {
  /** Milliseconds of a monotonic clock, as of the last look. */
  now = performance.now()
  readonly #watched = new Set<Bounded>()
  readonly #timer: NodeJS.Timeout

  constructor(interval = INTERVAL_MS) {
    this.#timer = setInterval(() => this.#look(), interval)
    this.#timer.unref()
  }

  add(one: Bounded): void {
    this.#watched.add(one)
  }

  delete(one: Bounded): void {
    this.#watched.delete(one)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#watched.clear()
  }

  #look(): void {
    this.now = performance.now()
    for (const one of this.#watched) {
      if (one.deadline > this.now) continue
      one.deadline = Number.POSITIVE_INFINITY
      one.expire()
    }
  }
}
