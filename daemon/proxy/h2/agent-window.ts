/**
 * How much the agent takes on its connection. What the agent gives goes on to the provider, so that the two keep their
 * own account; the gateway's own answers are a debt in it, taken from what the agent gives next.
 */
import { DEFAULT_WINDOW, SETTING } from './frame.ts'
import { type Settings, settingOf } from './settings.ts'

export class AgentWindow {
  /** Bytes that it takes now. */
  #room = DEFAULT_WINDOW
  /** Of each new stream. */
  #initial = DEFAULT_WINDOW
  #debt = 0

  settings(agents: Settings): void {
    this.#initial = settingOf(agents, SETTING.initialWindowSize) ?? this.#initial
  }

  fits(length: number): boolean {
    return length <= this.#room
  }

  /** Does it take anything of a stream? @param balance bytes given to that beyond the first window, less those passed */
  takes(balance: number): boolean {
    return this.#room > 0 && this.#initial + balance > 0
  }

  /** Bytes that it takes of a stream. @param balance as {@link takes} has it */
  roomFor(balance: number): number {
    return Math.max(0, Math.min(this.#room, this.#initial + balance))
  }

  /** Bytes go out for which the provider has the room back already. */
  sentAgain(length: number): void {
    this.#room -= length
    this.#debt += length
  }

  passed(length: number): void {
    this.#room -= length
  }

  /** Takes room for an answer of the gateway's own, all of it on a stream that had none yet. */
  takeForOwn(length: number): boolean {
    if (length > this.#room || length > this.#initial) return false
    this.#room -= length
    this.#debt += length
    return true
  }

  /** @returns what the provider may be given of it */
  given(increment: number): number {
    this.#room += increment
    const kept = Math.min(increment, this.#debt)
    this.#debt -= kept
    return increment - kept
  }
}
