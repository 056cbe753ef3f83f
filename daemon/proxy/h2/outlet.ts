/**
 * Where all streams' DATA goes out to the provider. What passes at once fits always, since the agent has the provider's
 * own windows; after a body that was held back it may not, and waits here for the provider to take more.
 *
 * Threat model: what waits is what the agent may send, which is why that is counted: an agent that sends more than it
 * was given would fill the memory.
 */
import { DEFAULT_WINDOW } from './frame.ts'
import { ProviderWindow } from './provider-window.ts'

/** A stream's frames that wait for room. */
export interface Waiting {
  /** Sends what there is room for. @returns whether that was all */
  flush(): boolean
}

export class Outlet {
  /** The connection's. */
  readonly window = new ProviderWindow(DEFAULT_WINDOW)
  /** Of each new stream. */
  #initial = DEFAULT_WINDOW
  /** What the agent may send on its connection. */
  #agents = DEFAULT_WINDOW
  readonly #waiting = new Set<Waiting>()

  get initial(): number {
    return this.#initial
  }

  /** @returns by how much the streams' windows move */
  begins(initial: number): number {
    const by = initial - this.#initial
    this.#initial = initial
    return by
  }

  /** DATA came from the agent. @returns false where it was not given so much */
  taken(length: number): boolean {
    this.#agents -= length
    return this.#agents >= 0
  }

  /** The agent is given room back. */
  returned(length: number): void {
    this.#agents += length
  }

  /** The provider takes more. @returns what the agent is to be given of it */
  given(increment: number): number {
    const rest = this.window.given(increment)
    this.#agents += rest
    return rest
  }

  wait(stream: Waiting): void {
    this.#waiting.add(stream)
  }

  leave(stream: Waiting): void {
    this.#waiting.delete(stream)
  }

  /** In turns: who got something stands behind the others. */
  flush(): void {
    for (const stream of [...this.#waiting]) {
      this.#waiting.delete(stream)
      if (!stream.flush()) this.#waiting.add(stream)
    }
  }
}
