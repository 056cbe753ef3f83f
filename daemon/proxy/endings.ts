/**
 * Records whose connections are over and that are not told to their end yet: what came last is still being
 * decompressed. A worker that stops waits for them.
 */
export class Endings {
  readonly #open = new Set<Promise<void>>()

  add(ending: Promise<void>): void {
    this.#open.add(ending)
    void ending.then(() => this.#open.delete(ending))
  }

  /** Resolves when there is none, or after this time. */
  async settled(withinMs: number): Promise<void> {
    const until = performance.now() + withinMs
    while (this.#open.size > 0 && performance.now() < until) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, until - performance.now())
      await Promise.race([Promise.all(this.#open), promise])
      clearTimeout(timer)
    }
  }
}
