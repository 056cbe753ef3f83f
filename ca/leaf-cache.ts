/**
 * Leaves by name: issued once for all who wait, renewed in the background before they run out, bounded in
 * number because the names come from the network.
 */

export interface Issued<Leaf> {
  readonly leaf: Leaf
  readonly notBefore: Date
  readonly notAfter: Date
}

export interface LeafCacheOptions<Leaf> {
  readonly issue: (name: string) => Promise<Issued<Leaf>>
  /** Least recently used names are dropped beyond this number. */
  readonly capacity?: number
  /** A leaf with less than this left is renewed while it still serves. */
  readonly renewBeforeMs?: number
  readonly now?: () => number
}

interface Entry<Leaf> {
  issued?: Issued<Leaf>
  /** A renewal made it live no longer: it ends with its authority. */
  last?: boolean
  pending?: Promise<Leaf>
}

/** Governed names number in the hundreds; a host that makes names up below one must not fill the memory. */
const CAPACITY = 2048
/** A third of the leaf's 30 days. */
const RENEW_BEFORE_MS = 10 * 86_400_000

export class LeafCache<Leaf> {
  readonly #issue: (name: string) => Promise<Issued<Leaf>>
  readonly #capacity: number
  readonly #renewBeforeMs: number
  readonly #now: () => number
  /** In order of use: the first is the least recently used. */
  readonly #entries = new Map<string, Entry<Leaf>>()

  constructor(options: LeafCacheOptions<Leaf>) {
    this.#issue = options.issue
    this.#capacity = options.capacity ?? CAPACITY
    this.#renewBeforeMs = options.renewBeforeMs ?? RENEW_BEFORE_MS
    this.#now = options.now ?? Date.now
  }

  get size(): number {
    return this.#entries.size
  }

  /**
   * The leaf for `name`. Rejects with what `issue` rejected with, and asks again next time; a renewal
   * that fails is no error while the old leaf is valid.
   */
  get(name: string): Promise<Leaf> {
    const entry = this.#touch(name)
    if (entry.issued === undefined) return this.#renew(name, entry)
    const now = this.#now()
    const left = entry.issued.notAfter.getTime() - now
    // Not valid yet: it was issued by a clock that has been set back since, and no client would take it.
    if (left <= 0 || now < entry.issued.notBefore.getTime()) return this.#renew(name, entry)
    if (left < this.#renewBeforeMs && !entry.last) this.#renew(name, entry).catch(() => {})
    return Promise.resolve(entry.issued.leaf)
  }

  clear(): void {
    this.#entries.clear()
  }

  #touch(name: string): Entry<Leaf> {
    const entry = this.#entries.get(name) ?? {}
    this.#entries.delete(name)
    this.#entries.set(name, entry)
    if (this.#entries.size > this.#capacity) {
      const [oldest] = this.#entries.keys()
      this.#entries.delete(oldest!)
    }
    return entry
  }

  #renew(name: string, entry: Entry<Leaf>): Promise<Leaf> {
    entry.pending ??= this.#ask(name, entry)
    return entry.pending
  }

  async #ask(name: string, entry: Entry<Leaf>): Promise<Leaf> {
    try {
      const issued = await this.#issue(name)
      entry.last = entry.issued !== undefined && issued.notAfter <= entry.issued.notAfter
      entry.issued = issued
      return issued.leaf
    } catch (error) {
      // Only its own entry: after clear() the name may belong to a newer one.
      if (entry.issued === undefined && this.#entries.get(name) === entry) this.#entries.delete(name)
      throw error
    } finally {
      delete entry.pending
    }
  }
}
