/**
 * A request's frames on their way to the provider: the last ones kept until the request is on disk, and DATA until the
 * provider has room for it. The stream gets its number there when its first frame goes out: held requests would
 * otherwise keep later ones waiting, whose numbers must be larger.
 */
import { weightOf } from '../examination/judged.ts'
import type { ExchangeHost } from './exchange-host.ts'
import type { Waiting } from './outlet.ts'
import { type DataPiece, dataOf, type Piece } from './piece.ts'
import { ProviderWindow } from './provider-window.ts'
import { Queue } from './queue.ts'
import type { Priority } from './receiver.ts'
import type { OnStream } from './streams.ts'

export class Outgoing implements Waiting {
  readonly #host: ExchangeHost
  readonly #exchange: OnStream
  readonly #emptied: () => void
  readonly #window: ProviderWindow
  #stream = 0
  /** Until it is on disk. */
  #held: Piece[] = []
  /** Until the provider has room. */
  readonly #queue = new Queue<Piece>()
  /** What the agent takes of an answer to a request that isn't out yet. */
  #credit = 0
  #balance = 0
  /** What the agent gives for bytes of the answer for which the provider has the room back already. */
  #debt = 0

  /** @param emptied nothing waits for the provider any more */
  constructor(host: ExchangeHost, exchange: OnStream, emptied: () => void) {
    this.#host = host
    this.#exchange = exchange
    this.#emptied = emptied
    this.#window = new ProviderWindow(host.outlet.initial)
  }

  /** The provider's number; 0 while nothing was sent to it. */
  get stream(): number {
    return this.#stream
  }

  get empty(): boolean {
    return this.#held.length === 0 && this.#queue.empty
  }

  hold(piece: Piece): void {
    this.#held.push(piece)
  }

  /** Behind what is held, where something is. */
  follow(piece: Piece): void {
    if (this.#held.length > 0) this.hold(piece)
    else this.send(piece)
  }

  release(): void {
    const held = this.#held
    this.#held = []
    for (const piece of held) this.send(piece)
  }

  send(piece: Piece): void {
    const rest = this.#queue.empty ? this.#sent(piece) : piece
    if (!rest) return
    this.#enqueue(rest)
    this.#host.outlet.wait(this)
  }

  flush(): boolean {
    for (let piece = this.#queue.first; piece; piece = this.#queue.first) {
      const rest = this.#sent(piece)
      if (rest === piece) return false
      this.#dequeue(rest)
    }
    this.#emptied()
    return true
  }

  /** What waits because it was held back counts among what is held. */
  #enqueue(piece: Piece): void {
    this.#queue.push(piece)
    this.#host.shared.holding.bytes += weight(piece)
  }

  /** @param rest what is left of the first one */
  #dequeue(rest: Piece | undefined): void {
    const { holding } = this.#host.shared
    holding.bytes -= weight(this.#queue.first)
    this.#queue.next(rest)
    holding.bytes += weight(rest)
  }

  /** Sends as much of it as there is room for. @returns what is left */
  #sent(piece: Piece): Piece | undefined {
    const { toProvider, streams } = this.#host
    if (piece.kind === 'data') return this.#dataSent(piece)
    if (piece.kind === 'trailers') {
      toProvider.headers(this.#stream, piece.list.fields, true)
    } else {
      this.#stream = streams.opened(this.#exchange)
      const { fields, endStream, priority } = piece.list
      toProvider.headers(this.#stream, fields, endStream, this.#translated(priority))
      if (this.#credit > 0) toProvider.windowUpdate(this.#stream, this.#credit)
    }
    return undefined
  }

  #dataSent(piece: DataPiece): Piece | undefined {
    const { toProvider, outlet } = this.#host
    const { frame, content, endStream } = piece.data
    const { length } = frame.payload
    const room = Math.min(outlet.window.room, this.#window.room)
    if (length === 0 || length <= room) {
      toProvider.passData(this.#stream, frame.raw)
      this.#account(length, piece.owed)
      return undefined
    }
    if (room <= 0) return piece
    const part = content.subarray(0, room)
    const rest = content.subarray(room)
    toProvider.data(this.#stream, part, endStream && rest.length === 0)
    this.#account(part.length, piece.owed)
    // Padding stays here, and what the agent gave for it goes back.
    if (!piece.owed) this.#host.returned(this.#exchange.stream, length - content.length)
    return rest.length > 0 ? { ...piece, data: dataOf(rest, endStream) } : undefined
  }

  #account(length: number, owed: boolean): void {
    this.#host.outlet.window.sent(length, owed)
    this.#window.sent(length, owed)
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

  /** Bytes of a held answer go out. */
  answerHandedOut(length: number): void {
    this.#balance -= length
    this.#debt += length
  }

  /** The agent takes more of the answer. */
  agentTakes(increment: number): void {
    this.#balance += increment
    const kept = Math.min(increment, this.#debt)
    const rest = increment - kept
    this.#debt -= kept
    if (this.#stream === 0) this.#credit += rest
    else if (rest > 0) this.#host.toProvider.windowUpdate(this.#stream, rest)
  }

  /** The provider takes more of the request. @returns what the agent is to be given of it */
  providerTakes(increment: number): number {
    return this.#window.given(increment)
  }

  /** The provider's SETTINGS moved the windows of all streams. */
  windowMoved(by: number): void {
    this.#window.moved(by)
  }

  reset(code: number): void {
    if (this.#stream > 0) this.#host.toProvider.reset(this.#stream, code)
  }

  /** What waits goes nowhere. */
  drop(): void {
    this.#host.outlet.leave(this)
    for (const piece of this.#held) this.#dropped(piece)
    this.#held = []
    for (let piece = this.#queue.first; piece; piece = this.#queue.first) {
      this.#dequeue(undefined)
      this.#dropped(piece)
    }
  }

  #dropped(piece: Piece): void {
    if (piece.kind === 'data' && !piece.owed) this.#host.discarded(piece.data.frame.payload.length)
  }
}

function weight(piece: Piece | undefined): number {
  return piece?.kind === 'data' && piece.owed ? weightOf(piece.data.content) : 0
}
