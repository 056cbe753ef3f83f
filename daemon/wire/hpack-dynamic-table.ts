/** HPACK's dynamic table (RFC 7541 sections 2.3.2 and 4): the fields sent last, bounded by their size. */
export interface Entry {
  readonly name: string
  readonly value: string
}

/** What each entry counts beside its text. */
const OVERHEAD = 32
/** Size that both sides begin with (RFC 9113 section 6.5.2). */
export const DEFAULT_TABLE_SIZE = 4096

export class DynamicTable {
  /** The oldest first. */
  readonly #entries: Entry[] = []
  readonly #evicted: (entry: Entry, sequence: number) => void
  #size = 0
  #limit: number
  #added = 0

  /** @param evicted told which entry goes, and the how-many-eth it was */
  constructor(limit: number, evicted: (entry: Entry, sequence: number) => void = () => {}) {
    this.#limit = limit
    this.#evicted = evicted
  }

  get limit(): number {
    return this.#limit
  }

  /** Entries that were ever added. */
  get added(): number {
    return this.#added
  }

  /** @param index from 0 for the newest */
  at(index: number): Entry | undefined {
    return this.#entries[this.#entries.length - 1 - index]
  }

  /** @returns false where it is larger than the whole table, which is then empty */
  add(entry: Entry): boolean {
    const size = sizeOf(entry)
    this.#shrink(this.#limit - size)
    if (size > this.#limit) return false
    this.#entries.push(entry)
    this.#added += 1
    this.#size += size
    return true
  }

  resize(limit: number): void {
    this.#limit = limit
    this.#shrink(limit)
  }

  #shrink(limit: number): void {
    while (this.#size > limit) {
      const oldest = this.#entries.shift()
      if (!oldest) break
      this.#size -= sizeOf(oldest)
      this.#evicted(oldest, this.#added - this.#entries.length - 1)
    }
  }
}

const sizeOf = ({ name, value }: Entry) => name.length + value.length + OVERHEAD
