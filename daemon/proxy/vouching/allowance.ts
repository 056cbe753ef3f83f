/**
 * How many questions each asker may cause: a store of them that fills up again with time, and one for all together.
 * Threat model: an agent can name as many names as it likes; each costs a handshake.
 */
export interface Rate {
  /** At once, after a quiet time. */
  readonly burst: number
  readonly perSecond: number
}

interface Store {
  left: number
  at: number
}

/** More askers than this are unlikely; the one longest quiet is forgotten, and starts anew. */
const MAX_ASKERS = 4096

export class Allowance {
  readonly #each: Rate
  readonly #all: Rate
  readonly #clock: () => number
  readonly #askers = new Map<string, Store>()
  readonly #together: Store

  /** @param clock milliseconds, monotonic */
  constructor(each: Rate, all: Rate, clock: () => number) {
    this.#each = each
    this.#all = all
    this.#clock = clock
    this.#together = { left: all.burst, at: clock() }
  }

  /** @returns false where this asker, or all of them, asked too much */
  take(asker: string): boolean {
    const now = this.#clock()
    const store = this.#askers.get(asker) ?? { left: this.#each.burst, at: now }
    this.#askers.delete(asker)
    this.#askers.set(asker, store)
    if (this.#askers.size > MAX_ASKERS) this.#askers.delete(this.#askers.keys().next().value as string)
    refill(store, this.#each, now)
    refill(this.#together, this.#all, now)
    if (store.left < 1 || this.#together.left < 1) return false
    store.left -= 1
    this.#together.left -= 1
    return true
  }
}

function refill(store: Store, { burst, perSecond }: Rate, now: number): void {
  store.left = Math.min(burst, store.left + ((now - store.at) / 1000) * perSecond)
  store.at = now
}
