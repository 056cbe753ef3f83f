/**
 * A request's frames on their way to the provider, the last ones kept until the request is on disk. The stream gets its
 * number there when its first frame goes out: held requests would otherwise keep later ones waiting, whose numbers must
 * be larger.
 */
import type { ExchangeHost } from './exchange-host.ts'
import type { DataFrame, HeaderList, Priority } from './receiver.ts'
import type { OnStream } from './streams.ts'

export type Piece =
  | { readonly kind: 'head'; readonly list: HeaderList }
  | { readonly kind: 'data'; readonly data: DataFrame }
  | { readonly kind: 'trailers'; readonly list: HeaderList }

export class Outgoing {
  readonly #host: ExchangeHost
  readonly #exchange: OnStream
  #stream = 0
  #held: Piece[] = []
  /** What the agent takes of an answer to a request that isn't out yet. */
  #credit = 0
  #balance = 0

  constructor(host: ExchangeHost, exchange: OnStream) {
    this.#host = host
    this.#exchange = exchange
  }

  /** The provider's number; 0 while nothing was sent to it. */
  get stream(): number {
    return this.#stream
  }

  get empty(): boolean {
    return this.#held.length === 0
  }

  hold(piece: Piece): void {
    this.#held.push(piece)
  }

  release(): void {
    const held = this.#held
    this.#held = []
    for (const piece of held) this.send(piece)
  }

  send(piece: Piece): void {
    const { toProvider, streams } = this.#host
    if (piece.kind === 'data') {
      toProvider.passData(this.#stream, piece.data.frame.raw)
    } else if (piece.kind === 'trailers') {
      toProvider.headers(this.#stream, piece.list.fields, true)
    } else {
      this.#stream = streams.opened(this.#exchange)
      const { fields, endStream, priority } = piece.list
      toProvider.headers(this.#stream, fields, endStream, this.#translated(priority))
      if (this.#credit > 0) toProvider.windowUpdate(this.#stream, this.#credit)
    }
  }

  /** In the provider's numbers. */
  #translated(priority: Priority | undefined): Priority | undefined {
    const dependsOn = priority && this.#host.streams.ofAgent(priority.dependsOn)?.providerStream
    return priority && { ...priority, dependsOn: dependsOn ?? 0 }
  }

  /** Bytes of the answer that the agent takes beyond the stream's first window, less those passed. */
  get balance(): number {
    return this.#balance
  }

  answerPassed(length: number): void {
    this.#balance -= length
  }

  /** The agent takes more of the answer. */
  agentTakes(increment: number): void {
    this.#balance += increment
    if (this.#stream > 0) this.#host.toProvider.windowUpdate(this.#stream, increment)
    else this.#credit += increment
  }

  reset(code: number): void {
    if (this.#stream > 0) this.#host.toProvider.reset(this.#stream, code)
  }

  /** What is held goes nowhere. */
  drop(): void {
    for (const piece of this.#held) {
      if (piece.kind === 'data') this.#host.discarded(piece.data.frame.payload.length)
    }
    this.#held = []
  }
}
