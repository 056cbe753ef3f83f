/**
 * An answer on a stream that is held until its record has reached the level, as holding/held-answer.ts has it for
 * HTTP/1.1.
 *
 * Flow control: the provider gets the room for what is held back at once, else an answer longer than the agent's window
 * would never come to its end. What goes out then is taken from the agent's windows, and what the agent gives for it is
 * not passed on. Where too much is held the provider's stream gets no room back, and no other stream waits for that.
 */
import type { HeaderField } from '../../wire/hpack.ts'
import { MAX_HELD, type RoomListener } from '../holding/holds.ts'
import { Wait } from '../holding/wait.ts'
import type { ProxyError } from '../proxy-error.ts'
import type { LevelListener } from '../recorder-link.ts'
import type { Governed } from '../relay/facts.ts'
import type { AnswerOut } from './answer.ts'
import type { ExchangeHost } from './exchange-host.ts'
import type { Outgoing } from './outgoing.ts'
import { Queue } from './queue.ts'
import type { DataFrame } from './receiver.ts'

type Piece =
  | { readonly kind: 'fields'; readonly fields: readonly HeaderField[]; readonly endStream: boolean }
  | { readonly kind: 'content'; readonly content: Buffer; readonly endStream: boolean }

/** What it needs of its exchange. */
export interface HeldAnswerSink {
  /** The agent's number. */
  readonly stream: number
  readonly outgoing: Outgoing
  /** All of it is sent. */
  handedOut(): void
  /** None of it may be handed out any more. */
  withheld(error: ProxyError): void
}

export class H2HeldAnswer implements AnswerOut, RoomListener {
  readonly #host: ExchangeHost
  readonly #sink: HeldAnswerSink
  readonly #wait: Wait
  readonly #pieces = new Queue<Piece>()
  #size = 0
  /** Room that the provider's stream has not got back. */
  #owed = 0
  #begun = false
  /** Let go: it goes out as the agent takes it. */
  #open = false
  #whole = false
  #over = false

  /** @param id of the record */
  constructor(host: ExchangeHost, governed: Governed, id: string, sink: HeldAnswerSink) {
    this.#host = host
    this.#sink = sink
    this.#wait = new Wait(host.shared, governed, id, (error) => this.#decided(error))
  }

  /** To be told of the level. */
  get listener(): LevelListener {
    return this.#wait
  }

  /** Something of it went to the agent. */
  get begun(): boolean {
    return this.#begun
  }

  /** It isn't the agent that keeps it from going on. */
  get waits(): boolean {
    return !this.#open
  }

  headers(fields: readonly HeaderField[], endStream: boolean): void {
    this.#pieces.push({ kind: 'fields', fields, endStream })
    if (this.#open) this.flush()
  }

  data({ frame, content, endStream }: DataFrame): void {
    // Of our own: the frame's bytes are those of a larger read.
    this.#pieces.push({ kind: 'content', content: Buffer.from(content), endStream })
    this.#count(content.length)
    if (!endStream) this.#owed += frame.payload.length
    this.flush()
  }

  /** It came to its end: its record is on its way. */
  whole(): void {
    this.#whole = true
    this.#wait.start()
    if (this.#open) this.flush()
  }

  /** Sends what may go out by now. */
  flush(): void {
    this.#flush()
    if (!this.#over) this.#giveRoom()
  }

  #flush(): void {
    while (!this.#over && (this.#open || this.#size > MAX_HELD)) {
      const first = this.#pieces.first
      if (!first) break
      const rest = this.#sent(first)
      if (rest === first) return
      this.#pieces.next(rest)
    }
    if (this.#over || !this.#open || !this.#whole || !this.#pieces.empty) return
    this.#over = true
    this.#sink.handedOut()
  }

  /** No record is kept of it: nothing to wait for. */
  letGo(): void {
    this.#wait.cancel()
    this.#decided(undefined)
  }

  /** The agent is gone. */
  abandon(): void {
    if (this.#whole && !this.#open) this.#wait.abandon('the agent is gone')
    this.drop()
  }

  /** Something else is told instead of it. */
  drop(): void {
    this.#over = true
    this.#wait.cancel()
    this.#host.shared.holds.leave(this)
    this.#count(-this.#size)
  }

  roomAgain(): void {
    if (!this.#over) this.#giveRoom()
  }

  #decided(error: ProxyError | undefined): void {
    if (error) {
      this.drop()
      this.#sink.withheld(error)
      return
    }
    this.#open = true
    this.flush()
  }

  /** Sends as much of it as the agent takes. @returns what is left */
  #sent(piece: Piece): Piece | undefined {
    const { toAgent, window } = this.#host
    const { stream, outgoing } = this.#sink
    const { endStream } = piece
    if (piece.kind === 'fields') {
      this.#begun = true
      toAgent.headers(stream, piece.fields, endStream)
      return undefined
    }
    const room = window.roomFor(outgoing.balance)
    const { content } = piece
    if (content.length > 0 && room <= 0) return piece
    const part = content.subarray(0, room)
    const rest = content.subarray(part.length)
    window.sentAgain(part.length)
    outgoing.answerHandedOut(part.length)
    this.#count(-part.length)
    this.#begun = true
    toAgent.data(stream, part, endStream && rest.length === 0)
    return rest.length > 0 ? { ...piece, content: rest } : undefined
  }

  #giveRoom(): void {
    const { holds } = this.#host.shared
    if (this.#owed === 0) return
    if (this.#size > MAX_HELD) return
    if (holds.full && !this.#open) {
      holds.whenRoom(this)
      this.#wait.start()
      return
    }
    this.#host.toProvider.windowUpdate(this.#sink.outgoing.stream, this.#owed)
    this.#owed = 0
  }

  #count(bytes: number): void {
    this.#size += bytes
    if (bytes > 0) this.#host.shared.holds.take(bytes)
    else if (bytes < 0) this.#host.shared.holds.free(-bytes)
  }
}
