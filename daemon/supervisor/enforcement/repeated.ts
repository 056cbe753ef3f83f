/**
 * Work that takes in whatever is true when it starts: a call while it runs leads to one more run, however many
 * calls there are, and every caller waits for a run that started after its call. What fails is tried again.
 */
export interface Repeated {
  /** Resolves when a run that started after this call has succeeded; never rejects, and waits for ever once stopped. */
  run(): Promise<void>
  /** Resolves when every call so far has been answered. */
  settled(): Promise<void>
  stop(): void
}

const RETRY_MS = 500

export function repeated(options: {
  readonly work: () => Promise<void>
  readonly failed: (error: unknown) => void
}): Repeated {
  let next: PromiseWithResolvers<void> | undefined
  let latest = Promise.resolve()
  let running = false
  let stopped = false

  const loop = async () => {
    running = true
    while (next && !stopped) {
      const mine: PromiseWithResolvers<void> = next
      next = undefined
      try {
        await options.work()
        mine.resolve()
      } catch (error) {
        options.failed(error)
        next = merged(mine, next)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref())
      }
    }
    running = false
  }
  return {
    run() {
      next ??= Promise.withResolvers<void>()
      latest = next.promise
      if (!running) void loop()
      return latest
    },
    settled: () => latest,
    stop() {
      stopped = true
    },
  }
}

/** Those who waited for the run that failed wait for the next, with those who came since. */
function merged(
  failed: PromiseWithResolvers<void>,
  since: PromiseWithResolvers<void> | undefined,
): PromiseWithResolvers<void> {
  if (since) void failed.promise.then(since.resolve)
  return failed
}
