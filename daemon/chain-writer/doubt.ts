/**
 * What may be true of the chain or only of a node that lags: it is believed once it has been seen for a while without
 * a break. A restart begins the wait anew, which costs nothing but time.
 */
export interface Doubt {
  /** It was seen (again): true once it has lasted. */
  lasts(): boolean
  /** It wasn't seen this time. */
  over(): void
}

export function doubt(now: () => number, ms: number): Doubt {
  let since: number | undefined
  return {
    lasts() {
      since ??= now()
      return now() - since >= ms
    },
    over() {
      since = undefined
    },
  }
}
