/**
 * A WebSocket on a stream (RFC 8441): the DATA of both sides are its bytes, which go through web-socket.ts as those of a
 * connection of its own do. What the agent says before the provider has accepted waits for that.
 */
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
import type { ProxyError } from '../proxy-error.ts'
import type { Governed } from '../relay/facts.ts'
import type { Connection } from '../web-socket/turns.ts'
import { WebSocketRelay } from '../web-socket/web-socket.ts'
import type { ExchangeHost } from './exchange-host.ts'
import type { Outgoing } from './outgoing.ts'
import { type DataPiece, inFrames } from './piece.ts'

/** What a WebSocket needs of the exchange that opened it. */
export interface WebSocketSink {
  readonly stream: number
  /** The stream must be cut. */
  failed(error: unknown): void
  unrecorded(reason: string): void
  /** Perhaps it is over: all that the agent said is on its way. */
  lookComplete(): void
}

const NOTHING = Buffer.alloc(0)

export class WebSocketStream {
  readonly #host: ExchangeHost
  readonly #outgoing: Outgoing
  readonly #sink: WebSocketSink
  /** Why nothing is read for now: much waits for the disk, or to be decompressed. */
  readonly #pauses = { agent: {}, provider: {} }
  #relay: WebSocketRelay | undefined
  #early: DataPiece[] = []
  /** Bytes that the agent sent and that are not on their way: it has given room for them. */
  #within = 0
  #allSent = false

  constructor(host: ExchangeHost, outgoing: Outgoing, sink: WebSocketSink) {
    this.#host = host
    this.#outgoing = outgoing
    this.#sink = sink
  }

  /** The agent said that it ends, and all before that is on its way. */
  get allSent(): boolean {
    return this.#allSent
  }

  /** The provider accepts it; {@link begin} is to follow when the agent knows. */
  open(governed: Governed, connection: Connection): void {
    this.#relay = new WebSocketRelay(this.#host.shared, governed, connection, {
      toAgent: (bytes) => this.#host.toAgent.data(this.#sink.stream, bytes, false),
      toProvider: (bytes) => this.#toProvider(bytes),
      pauseAgent: (paused) => this.#pause(this.#pauses.agent, paused),
      pauseProvider: (paused) => this.#pause(this.#pauses.provider, paused),
      failed: (error) => this.#sink.failed(error),
      unrecorded: (reason) => this.#sink.unrecorded(reason),
      fewer: (count) => this.#fewer(count),
    })
  }

  /** What the agent said early. */
  begin(): void {
    if (this.#relay) for (const piece of this.early()) this.fromAgent(piece)
  }

  /** The same, to be passed on where the provider does not accept it. */
  early(): readonly DataPiece[] {
    const early = this.#early
    this.#early = []
    return early
  }

  fromAgent(piece: DataPiece): void {
    const relay = this.#relay
    if (!relay) {
      this.#early.push(piece)
      return
    }
    const { content, frame, endStream } = piece.data
    this.#host.returned(this.#sink.stream, frame.payload.length - content.length)
    this.#within += content.length
    try {
      if (content.length > 0) relay.fromAgent(content)
      if (endStream) relay.agentEnded(() => this.#ended())
      this.giveRoom()
    } catch (error) {
      this.#sink.failed(error)
    }
  }

  #ended(): void {
    for (const piece of inFrames(NOTHING, true, false)) this.#outgoing.send(piece)
    this.#allSent = true
    this.#sink.lookComplete()
  }

  /** What the agent gave no room for any more, or what is of our own making, is a debt towards the provider's. */
  #toProvider(bytes: Buffer): void {
    const given = Math.min(this.#within, bytes.length)
    this.#within -= given
    const parts = [bytes.subarray(0, given), bytes.subarray(given)]
    for (const [i, part] of parts.entries()) {
      if (part.length === 0) continue
      for (const piece of inFrames(part, false, i === 1)) this.#outgoing.send(piece)
    }
  }

  /**
   * A message that is held until it is judged may be longer than the room that the provider gives: the agent gets it
   * back, as long as nothing waits for the provider.
   */
  giveRoom(): void {
    if (!this.#relay?.keepsBack || !this.#outgoing.empty) return
    this.#host.returned(this.#sink.stream, this.#within)
    this.#within = 0
  }

  /** So many bytes fewer go out than came. */
  #fewer(count: number): void {
    const given = Math.max(0, Math.min(this.#within, count))
    this.#within -= given
    this.#host.returned(this.#sink.stream, given)
  }

  /** What the agent said early goes nowhere. */
  discard(): void {
    for (const { data } of this.early()) this.#host.discarded(data.frame.payload.length)
  }

  /** What the agent is told before the stream is cut. */
  lastWords(error: ProxyError): Buffer | undefined {
    return this.#relay?.closeFrame(error)
  }

  /** @throws where they are no WebSocket */
  fromProvider(bytes: Buffer): void {
    this.#relay?.fromProvider(bytes)
  }

  providerEnded(): void {
    this.#relay?.providerEnded(() => {})
  }

  goOn(): void {
    this.#relay?.goOn()
  }

  end(outcome: Outcome, error: EndPayload['error']): void {
    this.#relay?.end(outcome, error)
    const early = this.early().reduce((sum, { data }) => sum + data.frame.payload.length, 0)
    this.#host.discarded(this.#within + early)
    this.#within = 0
    for (const pause of Object.values(this.#pauses)) this.#host.proceed(pause)
  }

  #pause(pause: object, paused: boolean): void {
    if (paused) this.#host.wait(pause)
    else this.#host.proceed(pause)
  }
}
