/**
 * An agent's request on a stream: checked, held until the policy's rules have judged it (held-stream.ts), passed on
 * frame by frame (outgoing.ts), the last frames for the disk to be waited for.
 */
import type { Judged } from '../examination/judged.ts'
import { ProxyError } from '../proxy-error.ts'
import type { ExchangeHost } from './exchange-host.ts'
import { type RecordedHead, type RequestFields, readTrailers, recordedHead, wrongLength } from './heads.ts'
import type { HeldStream } from './held-stream.ts'
import type { Outgoing } from './outgoing.ts'
import type { DataPiece, Piece } from './piece.ts'
import type { DataFrame, HeaderList } from './receiver.ts'

/** Who hears what becomes of it. */
export interface RequestSink {
  readonly stream: number
  readonly over: boolean
  /** It goes on. @param head as it goes out  @param judged undefined where nobody was asked */
  goesOn(head: RecordedHead, judged: Judged | undefined): void
  /** @param tried what came of its body */
  blocked(judged: Judged, tried: readonly Buffer[]): void
  content(bytes: Buffer): void
  /** What came after the head of a tunnel. */
  tunnelled(piece: DataPiece): void
  /** What is held goes out once all is on disk. */
  wholeBefore(trailers: string | undefined): void
  /** It can't be passed on. */
  failed(error: unknown): void
}

const CONTINUE = { name: ':status', value: '100', indexing: 'kept' } as const

export class Request {
  readonly #host: ExchangeHost
  readonly #fields: RequestFields
  readonly #outgoing: Outgoing
  readonly #sink: RequestSink
  #held: HeldStream | undefined
  #received = 0
  /** Of the body that goes out: bytes that did, and that there will be, where that is known. */
  #passed = 0
  #length: number | undefined
  #done = false
  #failed = false

  constructor(host: ExchangeHost, fields: RequestFields, outgoing: Outgoing, sink: RequestSink) {
    this.#host = host
    this.#fields = fields
    this.#outgoing = outgoing
    this.#sink = sink
    this.#length = fields.length
  }

  /** All of it came. */
  get done(): boolean {
    return this.#done
  }

  /** It can't be passed on, by the agent's own doing. */
  get failed(): boolean {
    return this.#failed
  }

  #fail(error: unknown): void {
    this.#failed = true
    this.#sink.failed(error)
  }

  /** @param held who judges it; undefined where nobody does */
  begin(list: HeaderList, held: HeldStream | undefined): void {
    this.#done = list.endStream
    this.#held = held
    if (!held) this.#sink.goesOn(this.#fields.head, undefined)
    held?.start()
    if (this.#held?.wantsContinue) this.#host.toAgent.headers(this.#sink.stream, [CONTINUE], false)
    this.#take({ kind: 'head', list }, list.endStream)
  }

  /** @returns false where it goes nowhere */
  data(data: DataFrame): boolean {
    const { content, frame, endStream } = data
    const { length } = this.#fields
    if (this.#done) {
      this.#fail(new ProxyError('malformed_frame', 'DATA after the request’s end', 'Send one body.'))
      return false
    }
    this.#received += content.length
    if (length !== undefined && (this.#received > length || (endStream && this.#received < length))) {
      this.#fail(wrongLength('a body that is not as long as Content-Length says'))
      return false
    }
    this.#done = endStream
    // The provider gives no room for what it hasn't got; of a tunnel nothing is judged but its head.
    const owed = this.#held !== undefined && !this.#fields.tunnel
    if (owed) this.#host.returned(this.#sink.stream, frame.payload.length)
    if (!owed || content.length > 0 || endStream) this.#take({ kind: 'data', data, owed }, endStream)
    return true
  }

  trailers(list: HeaderList): void {
    try {
      if (this.#done || this.#fields.tunnel)
        throw new ProxyError('malformed_frame', 'a second end', 'Send one request.')
      const text = readTrailers(list)
      const { length } = this.#fields
      if (length !== undefined && this.#received < length) throw wrongLength('a body that is too short')
      this.#done = true
      this.#take({ kind: 'trailers', list, text }, true)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** Nobody waits for a verdict any more. @returns what came of a body that was not judged */
  stop(): readonly Buffer[] | undefined {
    const unjudged = this.#held?.stop()
    this.#held = undefined
    return unjudged
  }

  #take(piece: Piece, whole: boolean): void {
    if (this.#held) this.#held.take(piece, whole)
    else this.#pass(piece)
  }

  /** The policy's rules have judged it: all that was held goes on, or nothing of it ever does. */
  judged(judged: Judged): void {
    const held = this.#held
    this.#held = undefined
    if (!held || this.#sink.over) return
    if (judged.action === 'block') {
      this.#sink.blocked(judged, held.stop())
      return
    }
    const pieces = held.release(judged)
    const [head] = pieces
    if (judged.body) this.#length = undefined
    this.#sink.goesOn(head?.kind === 'head' ? recordedHead(head.list.fields) : this.#fields.head, judged)
    for (const piece of pieces) this.#pass(piece)
  }

  /** On its way, as far as it may go by now. */
  #pass(piece: Piece): void {
    if (this.#sink.over) return
    if (piece.kind === 'data') {
      this.#passData(piece)
    } else if (piece.kind === 'trailers') {
      this.#last(piece, piece.text)
    } else if (piece.list.endStream || this.#fields.tunnel) {
      // Of a tunnel the head is the request; what comes after it is the tunnel's.
      this.#last(piece, undefined)
    } else {
      this.#outgoing.send(piece)
    }
  }

  #passData(piece: DataPiece): void {
    const { content, frame, endStream } = piece.data
    if (this.#fields.tunnel) {
      this.#sink.tunnelled(piece)
      return
    }
    this.#passed += content.length
    this.#sink.content(content)
    if (endStream) this.#last(piece, undefined)
    else if (this.#passed === this.#length && content.length > 0) this.#outgoing.hold(piece)
    else if (frame.payload.length > 0) this.#outgoing.send(piece)
  }

  #last(piece: Piece, trailers: string | undefined): void {
    this.#outgoing.hold(piece)
    this.#sink.wholeBefore(trailers)
  }
}
