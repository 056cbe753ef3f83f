/** The streams of two connections, by both their numbers. */

/** An exchange that has a stream on each side. */
export interface OnStream {
  /** The agent's number. */
  readonly stream: number
  /** The provider's; 0 while nothing was sent to it. */
  readonly providerStream: number
  /** Nothing but the provider's time bounds it: the request is there, and the agent takes of the answer. */
  readonly waitsForProvider: boolean
}

export class Streams<Exchange extends OnStream> {
  /** The agent's newest. */
  last = 0
  #nextToProvider = 1
  readonly #byAgent = new Map<number, Exchange>()
  readonly #byProvider = new Map<number, Exchange>()

  get size(): number {
    return this.#byAgent.size
  }

  all(): Exchange[] {
    return [...this.#byAgent.values()]
  }

  /** Does one of them wait for nothing but the provider? */
  get waitForProvider(): boolean {
    for (const exchange of this.#byAgent.values()) if (exchange.waitsForProvider) return true
    return false
  }

  ofAgent(stream: number): Exchange | undefined {
    return this.#byAgent.get(stream)
  }

  ofProvider(stream: number): Exchange | undefined {
    return this.#byProvider.get(stream)
  }

  add(exchange: Exchange): void {
    this.#byAgent.set(exchange.stream, exchange)
  }

  /** @returns the number that it has from now on at the provider */
  opened(exchange: Exchange): number {
    const number = this.#nextToProvider
    this.#nextToProvider += 2
    this.#byProvider.set(number, exchange)
    return number
  }

  delete(exchange: OnStream): void {
    this.#byAgent.delete(exchange.stream)
    if (exchange.providerStream > 0) this.#byProvider.delete(exchange.providerStream)
  }

  /** Did the agent ever open it? */
  known(stream: number): boolean {
    return stream % 2 === 1 && stream <= this.last
  }

  /** Was it ever opened to the provider? */
  knownToProvider(stream: number): boolean {
    return stream % 2 === 1 && stream < this.#nextToProvider
  }
}
