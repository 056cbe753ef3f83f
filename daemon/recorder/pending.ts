/** What is on its way into the log: exchanges with their places in the journal, and records that are made elsewhere. */
import type { Ranges } from './intake/journal.ts'

export class Pending {
  readonly #waiting = new Map<string, Ranges | undefined>()
  #idle: (() => void) | undefined

  get size(): number {
    return this.#waiting.size
  }

  add(id: string, ranges?: Ranges): void {
    this.#waiting.set(id, ranges)
  }

  /** These are in the log. @returns what the journal may let go of */
  done(ids: readonly string[]): Ranges[] {
    const released: Ranges[] = []
    for (const id of ids) {
      const ranges = this.#waiting.get(id)
      this.#waiting.delete(id)
      if (ranges !== undefined) released.push(ranges)
    }
    if (this.#waiting.size === 0) this.#idle?.()
    return released
  }

  /** Resolves when nothing waits any more, and after `withinMs` at the latest. */
  async idle(withinMs: number): Promise<void> {
    if (this.#waiting.size === 0) return
    const idle = new Promise<void>((resolve) => {
      this.#idle = resolve
    })
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, withinMs)
    })
    await Promise.race([idle, late])
    clearTimeout(timer)
  }
}
