/**
 * How much the provider takes, on its connection or on a stream. Of what an agent sends and is held back it gets the
 * room back at once, so that it can go on; when that goes out it is a debt, taken from what the provider gives next.
 */
export class ProviderWindow {
  #room: number
  #debt = 0

  constructor(room: number) {
    this.#room = room
  }

  /** Below nothing where the provider's SETTINGS took it back. */
  get room(): number {
    return this.#room
  }

  /** The provider's SETTINGS say another beginning; the agent is told the same. */
  moved(by: number): void {
    this.#room += by
  }

  /** @param owed the agent has this room back already, or never gave it up */
  sent(length: number, owed: boolean): void {
    this.#room -= length
    if (owed) this.#debt += length
  }

  /** @returns what the agent may be given of it */
  given(increment: number): number {
    this.#room += increment
    const kept = Math.min(increment, this.#debt)
    this.#debt -= kept
    return increment - kept
  }
}
