/**
 * An upgraded connection that is a WebSocket: bytes go through untouched, each of the agent's messages only once it is
 * on disk, and every turn of the conversation is recorded (turns.ts) as the messages that were said.
 *
 * Both sides' bytes are looked at in the order they came, also where a message must be decompressed first.
 */
import { callShape } from '../../../policies/call-shape.ts'
import type { WireStyle } from '../../../policies/catalogue-schema.ts'
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
import { examines } from '../examination/examination.ts'
import type { Judged } from '../examination/judged.ts'
import { PolicyBlock } from '../examination/policy-block.ts'
import type { ProxyError } from '../proxy-error.ts'
import type { ExchangeListener } from '../recorder-link.ts'
import type { Governed, Shared } from '../relay/facts.ts'
import { ExaminedMessages, type Message } from './examined-messages.ts'
import { extensionsOf, targetOf } from './extensions.ts'
import { DEFLATED, type FramePart, FrameReader } from './frames.ts'
import { HeldBack } from './held-back.ts'
import { HeldTurns } from './held-turns.ts'
import { InOrder } from './in-order.ts'
import { Inflater } from './inflater.ts'
import { lastWords } from './last-words.ts'
import { type Connection, type Side, Turns } from './turns.ts'
import { VerdictsUnderWay } from './verdicts-under-way.ts'

/** What a WebSocket needs of the exchange that opened it. */
export interface WebSocketHost {
  /** What was held of the provider's. */
  toAgent(bytes: Buffer): void
  toProvider(bytes: Buffer): void
  pauseAgent(paused: boolean): void
  /** A message was redacted, or decompressed: so many bytes fewer go to the provider than came, or more. */
  fewer(count: number): void
  pauseProvider(paused: boolean): void
  /** The connection must be cut. */
  failed(error: unknown): void
  /** No record can be kept: either cuts the connection or calls {@link WebSocketRelay.goOn}. */
  unrecorded(reason: string): void
}

/** Bytes waiting to be decompressed above which their sender is not read any more. */
const HIGH_WATER = 1 << 20
const ANY_BIT = 7
const NOTHING = Buffer.alloc(0)

export class WebSocketRelay implements ExchangeListener {
  readonly #shared: Shared
  readonly #host: WebSocketHost
  readonly #readers: Record<Side, FrameReader>
  readonly #inflaters: Record<Side, Inflater> | undefined
  /** Of the message that is being decompressed. */
  readonly #kinds: Record<Side, 'text' | 'binary'> = { client: 'text', server: 'text' }
  readonly #order: InOrder
  readonly #held: HeldBack
  readonly #turns: Turns
  /** What the provider says, where that waits for the records of it to be anchored. */
  readonly #answers: HeldTurns | undefined
  readonly #drained = {
    recorderDrained: () => {
      this.#inflaters?.client.resume()
      this.#inflaters?.server.resume()
    },
  }
  /** The policy's rules are asked about each message. */
  readonly #examined: ExaminedMessages | undefined
  readonly #style: WireStyle
  /** Who wants the agent not to be read for now. */
  readonly #pausedFor = new Set<'disk' | 'rules'>()
  readonly #verdicts = new VerdictsUnderWay()
  #endedFirst: Side | undefined
  #over = false

  constructor(shared: Shared, governed: Governed, connection: Connection, host: WebSocketHost) {
    const extensions = extensionsOf(connection.response)
    const { deflate, unknown } = extensions
    const rsv = unknown ? ANY_BIT : deflate ? DEFLATED : 0
    const flags = unknown ? [...(connection.facts.flags ?? []), 'web-socket-extension'] : undefined
    const described = flags ? { ...connection, facts: { ...connection.facts, flags } } : connection
    this.#shared = shared
    this.#host = host
    this.#readers = {
      client: new FrameReader({ masked: true, rsv }),
      server: new FrameReader({ masked: false, rsv }),
    }
    this.#inflaters = deflate && {
      client: new Inflater(deflate.client, (bytes) => this.#inflated('client', bytes)),
      server: new Inflater(deflate.server, (bytes) => this.#inflated('server', bytes)),
    }
    this.#order = new InOrder(
      (error) => this.#failed(error),
      (size) => host.pauseProvider(size > HIGH_WATER),
    )
    this.#held = new HeldBack({
      take: (bytes) => this.#takeClient(bytes),
      ask: () => this.#ask(),
      forward: (bytes) => host.toProvider(bytes),
      pause: (paused) => this.#pauseAgent('disk', paused),
    })
    this.#answers = shared.holds.settings
      ? new HeldTurns(shared, governed, {
          toAgent: (bytes) => host.toAgent(bytes),
          withheld: (error) => this.#failed(error),
        })
      : undefined
    this.#turns = new Turns(shared, governed, described, this, this.#answers)
    this.#style = governed.provider.style
    if (!examines(shared.policy)) return
    const request = { method: 'GET', target: targetOf(connection.request) }
    this.#style = callShape(request.method, request.target) ?? this.#style
    this.#examined = new ExaminedMessages(shared, governed, request, extensions, {
      pass: (bytes) => this.#pass(bytes),
      rewritten: (fewer, redacted) => {
        if (redacted) this.#verdicts.add(redacted)
        host.fewer(fewer)
      },
      blocked: (judged, message) => this.#held.whenEmpty(() => this.#blocked(judged, message)),
      failed: (error) => this.#failed(error),
      pause: (paused) => this.#pauseAgent('rules', paused),
    })
  }

  /** @throws ProxyError where the bytes are no WebSocket: the connection is to be cut */
  fromAgent(bytes: Buffer): void {
    if (this.#examined) this.#examined.push(bytes)
    else this.#pass(bytes)
  }

  /** A message waits for its end, or for its verdict. */
  get keepsBack(): boolean {
    return this.#examined?.keepsBack === true
  }

  #pass(bytes: Buffer): void {
    this.#verdicts.passed(bytes)
    this.#held.push(bytes)
  }

  /** Its message is evidence, and goes nowhere. */
  #blocked(judged: Judged, { kind, parts }: Message): void {
    this.#shared.counters.refused += 1
    this.#order.run(0, () => {
      this.#turns.note(judged)
      this.#turns.piece('client', kind, 0, Buffer.concat(parts), true)
      this.#failed(new PolicyBlock(judged, this.#style))
    })
  }

  #pauseAgent(by: 'disk' | 'rules', paused: boolean): void {
    this.#pausedFor[paused ? 'add' : 'delete'](by)
    this.#host.pauseAgent(this.#pausedFor.size > 0)
  }

  /** What the provider says goes out by {@link WebSocketHost.toAgent}, when it may. */
  get holds(): boolean {
    return this.#answers !== undefined
  }

  /** To be forwarded at once by the caller, unless it {@link holds}. @throws ProxyError where they are no WebSocket */
  fromProvider(bytes: Buffer): void {
    this.#answers?.push(bytes)
    this.#record('server', this.#readers.server.read(bytes), bytes.length)
    if (this.#answers) this.#order.run(0, () => this.#answers?.looked())
  }

  /** The provider says no more. Calls `done` when the agent has got all that it said. */
  providerEnded(done: () => void): void {
    this.#endedFirst ??= 'server'
    const answers = this.#answers
    if (!answers) {
      done()
      return
    }
    this.#order.run(0, () => {
      this.#turns.finish(this.#outcome('complete'), undefined)
      answers.drained(done)
    })
  }

  /** Calls `done` when the provider has got all that the agent said. */
  agentEnded(done: () => void): void {
    this.#endedFirst ??= 'client'
    if (this.#examined) this.#examined.whenDone(() => this.#held.whenEmpty(done))
    else this.#held.whenEmpty(done)
  }

  /** The connection is over. */
  end(outcome: Outcome, error: EndPayload['error']): void {
    this.#over = true
    this.#answers?.end()
    const unjudged = this.#examined?.stop()
    const told = Promise.withResolvers<void>()
    const said = unjudged && Buffer.concat(unjudged.parts)
    // It may be refused, and the turn ends all the same.
    if (said) this.#order.run(0, () => this.#turns.piece('client', unjudged.kind, 0, said, false))
    this.#order.run(0, () => {
      this.#turns.finish(this.#outcome(outcome), error)
      this.#inflaters?.client.close()
      this.#inflaters?.server.close()
      told.resolve()
    })
    this.#shared.endings.add(told.promise)
  }

  /** A socket's end says little: what counts is whether one of them said that it closes. */
  #outcome(outcome: Outcome): Outcome {
    const { closed } = this.#turns
    const gone = this.#endedFirst === 'client' ? 'client-aborted' : 'upstream-aborted'
    if (outcome === 'complete' && !closed) return gone
    return closed && (outcome === 'client-aborted' || outcome === 'upstream-aborted') ? 'complete' : outcome
  }

  /** A close frame for the agent that says why the connection is cut; none where it would fall into another frame. */
  closeFrame(error: ProxyError): Buffer | undefined {
    const held = this.#answers?.empty === false
    if (!held && !this.#readers.server.betweenFrames) return undefined
    return lastWords(error, !this.#readers.server.midMessage)
  }

  durable(): void {
    if (!this.#over && this.#shared.holdBack) this.#released()
  }

  unrecorded(reason: string): void {
    if (!this.#over) this.#host.unrecorded(reason)
  }

  /** The policy lets the connection go on without this turn's record. */
  goOn(): void {
    this.#turns.forget()
    this.#released()
  }

  #takeClient(bytes: Buffer): boolean {
    const parts = this.#readers.client.read(bytes)
    for (const judged of this.#verdicts.taken(bytes)) this.#order.run(0, () => this.#turns.note(judged))
    this.#record('client', parts, bytes.length)
    return parts.some(({ kind, ends }) => ends && (kind === 'text' || kind === 'binary'))
  }

  #ask(): void {
    this.#order.run(0, () => {
      const wait = this.#shared.holdBack
      const asked = (wait || !this.#turns.asked) && this.#turns.ask()
      if (!wait || !asked) this.#released()
    })
  }

  #released(): void {
    if (this.#over) return
    try {
      this.#turns.settled()
      this.#held.release()
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    if (!this.#over) this.#host.failed(error)
  }

  #record(side: Side, parts: readonly FramePart[], size: number): void {
    if (!this.#inflaters) {
      for (const part of parts) this.#plain(side, part)
      return
    }
    this.#order.run(size, async () => {
      for (const part of parts) {
        if (part.rsv === DEFLATED && (part.kind === 'text' || part.kind === 'binary'))
          await this.#deflated(side, part)
        else this.#plain(side, part)
      }
    })
  }

  #plain(side: Side, { kind, rsv, payload, ends }: FramePart): void {
    if (kind === 'ping' || kind === 'pong') {
      this.#turns.control()
    } else if (kind === 'close') {
      this.#turns.close(side, payload)
    } else {
      this.#turns.piece(side, kind, rsv, payload, ends)
    }
  }

  async #deflated(side: Side, { kind, payload, ends }: FramePart): Promise<void> {
    this.#kinds[side] = kind as 'text' | 'binary'
    await this.#inflaters?.[side].write(payload, ends)
    if (ends) this.#turns.piece(side, this.#kinds[side], 0, NOTHING, true)
  }

  #inflated(side: Side, bytes: Buffer): boolean {
    this.#turns.piece(side, this.#kinds[side], 0, bytes, false)
    const { recorder } = this.#shared
    if (!recorder.full) return true
    recorder.whenDrained(this.#drained)
    return false
  }
}
