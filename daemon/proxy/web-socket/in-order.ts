/** Steps one after the other, in the order given; at once where none is under way. */
export class InOrder {
  readonly #failed: (error: unknown) => void
  readonly #waiting: (size: number) => void
  #steps: { readonly size: number; readonly step: () => unknown }[] = []
  #size = 0
  #busy = false

  /**
   * @param failed hears of what a step throws; the steps behind it go on
   * @param waiting is told how much waits whenever that changes
   */
  constructor(failed: (error: unknown) => void, waiting: (size: number) => void) {
    this.#failed = failed
    this.#waiting = waiting
  }

  /** @param size of what the step has to do with, in bytes */
  run(size: number, step: () => unknown): void {
    if (this.#busy) {
      this.#steps.push({ size, step })
      this.#grow(size)
    } else {
      this.#start(step)
    }
  }

  #start(step: () => unknown): void {
    this.#busy = true
    const done = () => this.#next()
    try {
      const result = step()
      if (result instanceof Promise) result.catch(this.#failed).then(done)
      else done()
    } catch (error) {
      this.#failed(error)
      done()
    }
  }

  #next(): void {
    this.#busy = false
    const next = this.#steps.shift()
    if (!next) return
    this.#grow(-next.size)
    this.#start(next.step)
  }

  #grow(size: number): void {
    if (size === 0) return
    this.#size += size
    this.#waiting(this.#size)
  }
}
