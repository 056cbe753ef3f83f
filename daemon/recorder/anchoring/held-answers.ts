/**
 * Answers that proxies hold until the records of their exchanges have come far enough. Each waits by the size of a tree:
 * the log's when its record was in it.
 */
import { FrameType } from '../protocol.ts'

/** Who is told; `exchange` is its own number. */
export interface Holder {
  reply(type: FrameType, exchange: number, payload: Buffer): void
}

interface Held {
  readonly holder: Holder
  readonly exchange: number
  /** Milliseconds since the epoch. */
  readonly since: number
  /** Undefined until the record is in the log. */
  size: bigint | undefined
}

const NOTHING = Buffer.alloc(0)

export class HeldAnswers {
  readonly #held = new Map<string, Held>()

  /** Answers that somebody waits with, as far as is known here. */
  get count(): number {
    return this.#held.size
  }

  /** @param id of the record */
  hold(id: string, holder: Holder, exchange: number, now = Date.now()): void {
    this.#held.set(id, { holder, exchange, since: now, size: undefined })
  }

  /** The records are in a log of so many leaves. */
  recorded(ids: readonly string[], size: bigint): void {
    for (const id of ids) {
      const held = this.#held.get(id)
      if (held) held.size = size
    }
  }

  /** Tells whoever waits for no more than this. */
  reached(size: bigint): void {
    for (const [id, held] of this.#held) {
      if (held.size === undefined || held.size > size) continue
      this.#held.delete(id)
      held.holder.reply(FrameType.Reached, held.exchange, NOTHING)
    }
  }

  /** Whoever has held since then has given up by now. */
  expire(since: number): void {
    for (const [id, held] of this.#held) {
      if (held.since > since) return
      this.#held.delete(id)
    }
  }

  /** A proxy, with all that it held. */
  gone(holder: Holder): void {
    for (const [id, held] of this.#held) if (held.holder === holder) this.#held.delete(id)
  }
}
