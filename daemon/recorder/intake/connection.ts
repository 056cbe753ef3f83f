/** One proxy's connection: its frames, checked and put to the exchanges that they belong to. */

import type { FailedPayload } from '../protocol.ts'
import { type Frame, FrameType } from '../protocol.ts'
import { checkPayload, malformed, newExchange, type OpenExchange } from './exchange.ts'
import type { Intake, Peer } from './intake.ts'

/** What a frame costs in memory beside its payload. */
const FRAME_COST = 256
/** Open exchanges of one connection; a worker with more is out of its mind. */
const MAX_OPEN = 100_000

export class Connection {
  readonly #intake: Intake
  readonly #peer: Peer
  readonly #open = new Map<number, OpenExchange>()

  constructor(intake: Intake, peer: Peer) {
    this.#intake = intake
    this.#peer = peer
  }

  /** @throws RecorderError MALFORMED: close the connection then. */
  frame(frame: Frame): void {
    const { id, hold = false } = checkPayload(frame)
    if (frame.type === FrameType.Refusal) this.#refusal(frame, id!)
    else if (frame.type === FrameType.Open) this.#begin(frame, id!)
    else this.#more(frame, hold)
  }

  /** The connection is gone: what is open on it ends as interrupted. */
  close(): void {
    this.#intake.events.gone(this.#peer)
    for (const exchange of this.#open.values()) {
      exchange.over = 'lost'
      exchange.awaiting = false
      this.#intake.queue(exchange, undefined, 0)
    }
    this.#open.clear()
  }

  #refusal(frame: Frame, id: string): void {
    this.#intake.claim(id)
    const exchange = newExchange(id, 0)
    exchange.over = 'end'
    this.#add(exchange, frame)
  }

  #begin(frame: Frame, id: string): void {
    if (this.#open.has(frame.exchange)) throw malformed('an exchange number that is in use')
    if (this.#open.size >= MAX_OPEN) throw malformed(`more than ${MAX_OPEN} open exchanges`)
    this.#intake.claim(id)
    const exchange = newExchange(id, frame.exchange)
    this.#open.set(frame.exchange, exchange)
    this.#intake.began(exchange, this.#peer)
    exchange.failure = this.#intake.room.refusal()
    if (exchange.failure === undefined) this.#add(exchange, frame)
    else this.#refuse(exchange, exchange.failure)
  }

  #more(frame: Frame, hold: boolean): void {
    const exchange = this.#open.get(frame.exchange)
    if (exchange === undefined) throw malformed('a frame of an exchange that is not open')
    if (frame.type === FrameType.RequestEnd) {
      // A WebSocket's turn has one after each message, as the answers come.
      if (exchange.awaiting) throw malformed('an end of a request before the last one was answered')
      exchange.awaiting = exchange.failure === undefined
      if (exchange.failure !== undefined) this.#refuse(exchange, exchange.failure)
    }
    if (frame.type === FrameType.End) {
      exchange.over = 'end'
      this.#open.delete(frame.exchange)
      if (hold) this.#intake.events.held(exchange.id, this.#peer, exchange.number)
    }
    this.#add(exchange, frame)
  }

  #refuse(exchange: OpenExchange, failure: FailedPayload): void {
    this.#peer.reply(FrameType.Failed, exchange.number, Buffer.from(JSON.stringify(failure)))
  }

  #add(exchange: OpenExchange, { type, time, payload }: Frame): void {
    if (exchange.failure === undefined) exchange.frames.push({ type, time, payload })
    else if (exchange.over === undefined) return
    this.#intake.queue(exchange, this.#peer, payload.length + FRAME_COST)
  }
}
