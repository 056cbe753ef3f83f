/**
 * Looks up the catalogue's literal names every few minutes, so that the kernel knows providers' addresses before
 * an agent dials them. A few at a time, with jitter: name servers aren't flooded.
 */
const INTERVAL_MS = 5 * 60_000
const CONCURRENCY = 8

export interface CatalogueWatch {
  /** Settles after the first round. */
  readonly first: Promise<void>
  /** The catalogue is another: those that are new are looked up at once. */
  names(names: readonly string[]): void
  stop(): void
}

export function watchCatalogue(
  initial: readonly string[],
  resolve: (name: string) => Promise<unknown>,
  intervalMs = INTERVAL_MS,
): CatalogueWatch {
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  let names = initial
  const lookUp = async (these: readonly string[]) => {
    const left = [...these]
    const lane = async () => {
      for (let name = left.pop(); name !== undefined && !stopped; name = left.pop()) {
        // A name that doesn't resolve is tried again next round; the one that dials it hears why.
        await resolve(name).catch(() => {})
      }
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, lane))
  }
  const round = async () => {
    await lookUp(names)
    if (stopped) return
    timer = setTimeout(() => void round(), intervalMs * (0.9 + 0.2 * Math.random()))
    timer.unref()
  }
  return {
    first: round(),
    names(next) {
      const known = new Set(names)
      names = next
      void lookUp(next.filter((name) => !known.has(name)))
    },
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}
