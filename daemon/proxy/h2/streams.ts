/** The streams of two connections, by both their numbers. */
import type { H2Exchange } from './exchange.ts'

export class Streams {
  /** The agent's newest. */
  last = 0
  #nextToProvider = 1
  readonly #byAgent = new Map<number, H2Exchange>()
  readonly #byProvider = new Map<number, H2Exchange>()

  get size(): number {
    return this.#byAgent.size
  }

  all(): H2Exchange[] {
    return [...this.#byAgent.values()]
  }

  /** Does one of them wait for nothing but the provider? */
  get waitForProvider(): boolean {
    for (const exchange of this.#byAgent.values()) if (exchange.waitsForProvider) return true
    return false
  }

  ofAgent(stream: number): H2Exchange | undefined {
    return this.#byAgent.get(stream)
  }

  ofProvider(stream: number): H2Exchange | undefined {
    return this.#byProvider.get(stream)
  }

  add(exchange: H2Exchange): void {
    this.#byAgent.set(exchange.stream, exchange)
  }

  /** @returns the number that it has from now on at the provider */
  opened(exchange: H2Exchange): number {
    const number = this.#nextToProvider
    this.#nextToProvider += 2
    this.#byProvider.set(number, exchange)
    return number
  }

  delete(exchange: H2Exchange): void {
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
