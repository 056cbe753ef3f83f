/**
 * What is incomplete and waits for its rest, by key: bounded in number and in time, whatever comes. What goes before
 * it was complete is handed back, so that it can be counted.
 */
interface Entry<T> {
  readonly value: T
  readonly since: number
}

export class Waiting<T> {
  readonly #entries = new Map<string, Entry<T>>()
  readonly #most: number
  readonly #longestMs: number
  readonly #abandoned: (value: T) => void

  /**
   * @param most entries at once; one more and the oldest goes
   * @param longestMs how long one may wait
   */
  constructor(most: number, longestMs: number, abandoned: (value: T) => void = () => {}) {
    this.#most = most
    this.#longestMs = longestMs
    this.#abandoned = abandoned
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.value
  }

  /** Takes the place of an entry of that key. */
  add(key: string, value: T, now: number): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, since: now })
    if (this.#entries.size <= this.#most) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#abandon(oldest)
  }

  /** Takes out what is complete. */
  take(key: string): T | undefined {
    const value = this.#entries.get(key)?.value
    this.#entries.delete(key)
    return value
  }

  /** Abandons what has waited too long; {@link Number.POSITIVE_INFINITY} abandons all. */
  expire(now: number): void {
    for (const [key, { since }] of this.#entries) {
      if (now - since < this.#longestMs) return
      this.#abandon(key)
    }
  }

  #abandon(key: string): void {
    const value = this.take(key)
    if (value !== undefined) this.#abandoned(value)
  }
}
