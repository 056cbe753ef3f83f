/**
 * A WebSocket's record: one exchange a turn, from what comes after the last turn's end to the event that ends a
 * response. Each turn's record stands alone: it has the handshake's heads and the messages of both sides as bodies.
 *
 * Where the interface is none that is known, a turn ends before the client speaks again, or in the silence after the
 * server spoke. A turn of any kind ends when it gets too long: the journal keeps what isn't recorded yet.
 */
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
import { encodePiece, type MessageKind } from '../../recorder/web-socket-body.ts'
import type { AnyHead, AnyRequestHead } from '../credentials/redact.ts'
import type { Bounded } from '../deadlines.ts'
import type { Judged } from '../examination/judged.ts'
import { refuseForAnchoring } from '../holding/errors.ts'
import type { ExchangeListener } from '../recorder-link.ts'
import type { Governed, Shared } from '../relay/facts.ts'
import { Recording, verdictOf } from '../relay/recording.ts'
import { LOOKED_AT, serverEvent } from './event.ts'
import type { HeldTurns } from './held-turns.ts'
import { NamedModel } from './named-model.ts'

export type Side = 'client' | 'server'

/** What all turns of a connection share. */
export interface Connection {
  readonly request: AnyRequestHead
  readonly response: AnyHead
  /** Id of the handshake's record. */
  readonly id: string
  /** What every End says. */
  readonly facts: Pick<EndPayload, 'upstream' | 'destinationMismatch' | 'flags'>
}

/** Payload bytes after which a turn is ended at the next message's end; parsers look at 16 MiB a side. */
const MAX_TURN_BYTES = 8 << 20
const MAX_TURN_MS = 30 * 60_000
/** After the server's last word, where nothing tells a turn's end. */
const SILENCE_MS = 10_000

interface Turn {
  recording: Recording | undefined
  readonly number: number
  readonly messages: { client: number; server: number }
  bytes: number
  asked: boolean
  /** What a rule did to a message of it. */
  verdict: Judged | undefined
}

export class Turns implements Bounded {
  deadline = Number.POSITIVE_INFINITY
  readonly #shared: Shared
  readonly #governed: Governed
  readonly #connection: Connection
  readonly #listener: ExchangeListener
  readonly #held: HeldTurns | undefined
  #turn: Turn | undefined
  #count = 0
  /** Pings and pongs since the last turn's end. */
  #controls = 0
  /** What rules did to messages that are to come, perhaps in another turn. */
  #noted: Judged[] = []
  #close: { readonly by: Side; readonly code?: number } | undefined
  /** The interface is one whose events are known; responses under way. */
  #known = false
  #responses = 0
  /** The server says what belongs to a response without having said that one begins. */
  #answering = false
  #ending = false
  #over = false
  readonly #mid: Record<Side, boolean> = { client: false, server: false }
  readonly #named = new NamedModel()
  /** The client said something that isn't on disk yet. */
  #unsettled = false
  /** The beginning of the server's message. */
  #text: Buffer[] = []
  #textSize = 0

  /** @param held what waits for the turns' records to be anchored */
  constructor(
    shared: Shared,
    governed: Governed,
    connection: Connection,
    listener: ExchangeListener,
    held?: HeldTurns,
  ) {
    this.#shared = shared
    this.#governed = governed
    this.#connection = connection
    this.#listener = listener
    this.#held = held
    if (held) held.speaking = () => this.#speaking
    shared.deadlines.add(this)
  }

  /** A stretch of a message, as it is to be read. @throws ProxyError anchoring_behind */
  piece(side: Side, kind: MessageKind, rsv: number, bytes: Buffer, ends: boolean): void {
    if (this.#over) return
    if (side === 'client' && !this.#mid.client) this.#clientBegins(kind)
    const turn = this.#open()
    if (side === 'client') {
      for (const judged of this.#noted.splice(0)) turn.verdict = together(turn.verdict, judged)
    }
    this.#mid[side] = !ends
    turn.bytes += bytes.length
    if (ends && kind !== 'close') turn.messages[side] += 1
    const parts = encodePiece({ kind, rsv, bytes, more: !ends })
    if (side === 'client') {
      this.#unsettled ||= kind !== 'close'
      turn.recording?.requestBody(parts)
      if (kind !== 'close' && rsv === 0 && this.#governed.provider.keepBodies) this.#named.piece(bytes, ends)
    } else {
      turn.recording?.responseBody(parts)
    }
    // Gemini Live says its JSON in binary messages.
    if (side === 'server' && kind !== 'close' && rsv === 0) this.#look(bytes, ends)
    if (ends && side === 'server' && !this.#known) this.#within(SILENCE_MS)
    if (turn.bytes > MAX_TURN_BYTES) this.#ending = true
    if (ends) this.#settle()
  }

  /** A rule redacted what the client says next, or blocks it. */
  note(judged: Judged): void {
    this.#noted.push(judged)
  }

  control(): void {
    this.#controls += 1
  }

  close(side: Side, payload: Buffer): void {
    if (this.#over) return
    const code = payload.length >= 2 ? { code: payload.readUInt16BE(0) } : {}
    this.#close ??= { by: side, ...code }
    // The client answers it when it has it, and that waits for the turn's record.
    if (this.#held && side === 'server') this.#ending = true
    this.piece(side, 'close', 0, payload, true)
  }

  /** All that the client has said so far must be on disk; the listener hears of it. @returns false where nobody will */
  ask(): boolean {
    const turn = this.#turn
    if (!turn?.recording) return false
    turn.asked = true
    turn.recording.requestEnd(undefined)
    return true
  }

  /** The turn's client has been asked for before. */
  get asked(): boolean {
    return this.#turn?.asked === true
  }

  /** The turn's record can't be kept, and the policy lets the connection go on. */
  forget(): void {
    if (this.#turn) this.#turn.recording = undefined
  }

  /** What was asked for is on disk, or nobody waits for it. */
  settled(): void {
    this.#unsettled = false
    this.#settle()
  }

  /** Ends the turn if it is over and no message is in its middle or on its way to the disk. */
  #settle(): void {
    const between = !this.#mid.server && !this.#mid.client && !this.#unsettled
    if (this.#turn && this.#ending && between) this.#end('complete')
  }

  /** The connection is over. What was no WebSocket is told also where it stands between turns. */
  finish(outcome: Outcome, error: EndPayload['error']): void {
    if (this.#over) return
    if (outcome === 'protocol-error') this.#open()
    if (this.#turn) this.#end(outcome, error)
    this.#over = true
    this.#shared.deadlines.delete(this)
  }

  /** A response is under way, or may be: of what it belongs to there is no record yet. */
  get #speaking(): boolean {
    if (!this.#turn) return false
    const told = this.#known ? this.#responses > 0 || this.#answering : this.#turn.messages.server > 0
    return told || this.#mid.server || this.#ending
  }

  /** One of the two said that it closes. */
  get closed(): boolean {
    return this.#close !== undefined
  }

  expire(): void {
    this.#ending = true
    this.#settle()
    if (this.#turn) this.#within(SILENCE_MS)
  }

  #within(ms: number): void {
    this.deadline = this.#shared.deadlines.now + ms
  }

  /** @throws ProxyError anchoring_behind */
  #clientBegins(kind: MessageKind): void {
    const { refused } = this.#shared.recorder
    if (refused !== undefined && kind !== 'close' && !this.#turn?.messages.client) {
      const call = { method: 'GET', target: '' }
      throw refuseForAnchoring(this.#shared, this.#governed, refused, call)
    }
    const spoken = this.#turn !== undefined && this.#turn.messages.server > 0
    if (!this.#known && spoken) {
      this.#ending = true
      this.#settle()
    }
  }

  #open(): Turn {
    if (this.#turn) return this.#turn
    this.#count += 1
    this.#shared.counters.exchanges += 1
    const turn: Turn = {
      recording: undefined,
      number: this.#count,
      messages: { client: 0, server: 0 },
      bytes: 0,
      asked: false,
      verdict: undefined,
    }
    this.#turn = turn
    this.#within(MAX_TURN_MS)
    const { request, response, id } = this.#connection
    const webSocket = { connection: id, turn: this.#count }
    const recording = Recording.open(this.#shared, this.#governed, request, this.#listener, webSocket)
    recording?.responseHead(response)
    turn.recording = recording
    if (!recording) this.#listener.unrecorded('the recorder can’t be reached')
    return turn
  }

  #end(outcome: Outcome, error?: EndPayload['error']): void {
    const turn = this.#turn as Turn
    this.#turn = undefined
    this.#ending = false
    this.deadline = Number.POSITIVE_INFINITY
    const { verdict } = turn
    const { model } = this.#named
    const payload: EndPayload = {
      outcome,
      ...this.#connection.facts,
      ...(error ? { error } : {}),
      ...(verdict?.rule ? { policy: { rule: verdict.rule, ...verdictOf({ verdict }) } } : {}),
      webSocket: {
        messages: turn.messages,
        controls: this.#controls,
        ...(model === undefined ? {} : { model }),
        ...(this.#close ? { close: this.#close } : {}),
      },
    }
    turn.recording?.end(payload, this.#held?.gate(turn.recording.id))
    this.#controls = 0
    this.#held?.release()
  }

  /** Looks for the end of a response in the server's message. */
  #look(bytes: Buffer, ends: boolean): void {
    if (this.#textSize < LOOKED_AT) this.#text.push(bytes)
    this.#textSize += bytes.length
    if (!ends) return
    const event = serverEvent(this.#text.length === 1 ? bytes : Buffer.concat(this.#text))
    this.#text = []
    this.#textSize = 0
    if (event === undefined) return
    this.#known = true
    this.#answering = event === 'answers'
    if (event === 'begins') this.#responses += 1
    if (event === 'ends') this.#responses = Math.max(0, this.#responses - 1)
    if ((event === 'ends' || event === 'error') && this.#responses === 0) this.#ending = true
  }
}

/** The last one, with what all of them found. */
function together(before: Judged | undefined, judged: Judged): Judged {
  const found = [...new Set([...(before?.found ?? []), ...(judged.found ?? [])])]
  return { ...judged, ...(found.length > 0 && { found }) }
}
