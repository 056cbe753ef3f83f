/**
 * What a worker holds of answers until their records are anchored: counted, and bounded in memory.
 *
 * Threat model: an agent that asks for long answers, or for many, must not fill the memory, and must not get its
 * answers early by trying. Where no more may be held, providers are not read any more, until others' answers go out.
 */
import type { Level } from '../../anchoring/level.ts'
import type { OnFailure } from '../../anchoring/settings.ts'

/** How answers are held; a worker has none where they aren't. */
export interface HoldSettings {
  readonly level: Level
  readonly maxMs: number
  readonly onFailure: OnFailure
}

export interface RoomListener {
  /** There is room again. */
  roomAgain(): void
}

/** Of one answer; of a longer one the end is held, and the beginning goes out. */
export const MAX_HELD = 4 << 20
/** Of all answers of a worker. */
const MAX_ALL = 64 << 20

export class Holds {
  readonly settings: HoldSettings | undefined
  /** Answers held now. */
  waiting = 0
  /** Since the start: held, never handed out, and handed out before their time, as `queue` has it. */
  held = 0
  undelivered = 0
  early = 0
  readonly #most: number
  #bytes = 0
  #listeners = new Set<RoomListener>()

  constructor(settings: HoldSettings | undefined, most = MAX_ALL) {
    this.settings = settings
    this.#most = most
  }

  get full(): boolean {
    return this.#bytes >= this.#most
  }

  take(bytes: number): void {
    this.#bytes += bytes
  }

  free(bytes: number): void {
    this.#bytes -= bytes
    if (this.full || this.#listeners.size === 0) return
    const listeners = this.#listeners
    this.#listeners = new Set()
    for (const listener of listeners) listener.roomAgain()
  }

  whenRoom(listener: RoomListener): void {
    this.#listeners.add(listener)
  }

  leave(listener: RoomListener): void {
    this.#listeners.delete(listener)
  }
}
