/** What doctor says of one thing that it looked at. */
export interface Check {
  readonly check: string
  /**
   * `failed`: the promise does not hold there. `attention`: it holds, and something stands in somebody's way.
   * `not-run`: nothing is known; that is no pass.
   */
  readonly result: 'held' | 'failed' | 'attention' | 'not-run'
  readonly detail: string
  /** Whether enforcement is proved hangs on it. */
  readonly proof?: true
  readonly remedy?: string
}

/** Yields what several say, as it comes: each goes as far as it gets, whatever becomes of the others. */
export async function* asItComes(sources: readonly AsyncGenerator<Check>[]): AsyncGenerator<Check> {
  const next = (source: AsyncGenerator<Check>) => source.next().then((step) => ({ source, step }))
  const pending = new Map(sources.map((source) => [source, next(source)]))
  while (pending.size > 0) {
    const { source, step } = await Promise.race(pending.values())
    if (step.done) pending.delete(source)
    else {
      pending.set(source, next(source))
      yield step.value
    }
  }
}
