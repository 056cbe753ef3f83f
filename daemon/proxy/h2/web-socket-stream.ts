/**
 * A WebSocket on a stream (RFC 8441): the DATA of both sides are its bytes, which go through web-socket.ts as those of a
 * connection of its own do. What the agent says before the provider has accepted waits for that.
 */
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
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
    } catch (error) {
      this.#sink.failed(error)
    }
  }

  #ended(): void {
    for (const piece of inFrames(NOTHING, true, false)) this.#outgoing.send(piece)
    this.#allSent = true
    this.#sink.lookComplete()
  }

  #toProvider(bytes: Buffer): void {
    this.#within -= bytes.length
    for (const piece of inFrames(bytes, false, false)) this.#outgoing.send(piece)
  }

  /** @throws where they are no WebSocket */
  fromProvider(bytes: Buffer): void {
    this.#relay?.fromProvider(bytes)
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
