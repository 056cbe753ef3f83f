/**
 * What an agent says on a WebSocket under rules that ask about requests: each message is judged by itself, as a
 * request's body is. Where its head decides nothing is held back; else a message goes on once it is judged, as it was
 * sent, or redacted, or it never does and the connection is cut.
 *
 * Threat model: the messages are the agent's. What is kept of one is bounded as a request's body is (examination.ts),
 * decompressed or not, and what can't be read is judged as what can't be told.
 */
import type { Policy } from '../../../policies/policy.ts'
import { Examination, MAX_EXAMINED, MAX_HELD, type RequestFacts } from '../examination/examination.ts'
import { type Holding, type Judged, weightOf } from '../examination/judged.ts'
import { ProxyError } from '../proxy-error.ts'
import type { Governed } from '../relay/facts.ts'
import type { Extensions } from './extensions.ts'
import { clientFrame, DEFLATED, type FramePart, FrameReader } from './frames.ts'
import { InOrder } from './in-order.ts'
import { Inflater } from './inflater.ts'

export interface Message {
  readonly kind: 'text' | 'binary'
  /** As far as it came, decompressed. */
  readonly parts: readonly Buffer[]
}

export interface ExaminedHost {
  /** Goes on. */
  pass(bytes: Buffer): void
  /** What goes on next is another than was sent. @param fewer bytes than there were  @param redacted by which verdict */
  rewritten(fewer: number, redacted: Judged | undefined): void
  /** Nothing goes on any more. */
  blocked(judged: Judged, message: Message): void
  failed(error: unknown): void
  /** Much, or little, waits to be looked into. */
  pause(paused: boolean): void
}

interface Judging {
  readonly kind: 'text' | 'binary'
  readonly rsv: number
  readonly examination: Examination
  /** Decompressed; what a redacted message, or the record of a blocked one, is made from. */
  parts: Buffer[]
  /** Pings and pongs that came within it. */
  readonly controls: Buffer[]
  readonly verdict: Promise<Judged>
  judged: Judged | undefined
}

/** Bytes waiting to be looked into above which the agent is not read any more. */
const HIGH_WATER = 1 << 20
/** What one message may take as it was sent, with pings and empty fragments: more than an examination, which decides. */
const MAX_RAW = 3 * MAX_EXAMINED
/** A digest or a coding of the handshake says nothing of a message. */
const NO_FIELDS: readonly string[] = []

const tooBig = () =>
  new ProxyError(
    'message_too_big',
    'a message that takes too much until it can be judged',
    'Send shorter messages, in larger pieces.',
  )

export class ExaminedMessages {
  readonly #policy: Policy
  readonly #governed: Governed
  readonly #holding: Holding
  readonly #request: Pick<RequestFacts, 'method' | 'target'>
  readonly #host: ExaminedHost
  readonly #reader: FrameReader
  readonly #inflater: Inflater | undefined
  /** A message may refer to those before it, as the agent sent them. */
  readonly #takeover: boolean
  readonly #order: InOrder
  /** What was sent of the message that is being judged, and of the frame that has begun. */
  #raw: Buffer[] = []
  #rawSize = 0
  /** What is held counts with all that the worker holds; what the examination keeps counts there. */
  #weight = 0
  #message: Judging | undefined
  /** One was redacted: the provider can't decompress what refers to it. */
  #plainFromHere = false
  #model: string | undefined
  #over = false

  /** @param request the handshake */
  constructor(
    { policy, holding }: { readonly policy: Policy; readonly holding: Holding },
    governed: Governed,
    request: Pick<RequestFacts, 'method' | 'target'>,
    { deflate, unknown }: Extensions,
    host: ExaminedHost,
  ) {
    this.#policy = policy
    this.#governed = governed
    this.#holding = holding
    this.#request = request
    this.#host = host
    this.#reader = new FrameReader({ masked: true, rsv: unknown ? 7 : deflate ? DEFLATED : 0 })
    this.#takeover = deflate?.client === true
    this.#inflater = deflate && new Inflater(deflate.client, (bytes) => this.#content(bytes))
    this.#order = new InOrder(
      (error) => this.#failed(error),
      (size) => host.pause(size > HIGH_WATER),
    )
  }

  /** Does a message wait for its end, or for its verdict? */
  get keepsBack(): boolean {
    return this.#raw.length > 0
  }

  /** @throws ProxyError malformed_web_socket */
  push(bytes: Buffer): void {
    if (this.#over) return
    const parts = this.#reader.read(bytes)
    this.#order.run(bytes.length, () => this.#take(bytes, parts))
  }

  /** Calls once all that came is judged, and may go on. */
  whenDone(done: () => void): void {
    this.#order.run(0, () => {
      if (!this.#over) done()
    })
  }

  /** Nothing goes on any more. @returns the message of which nothing went on, where there is one */
  stop(): Message | undefined {
    this.#over = true
    const message = this.#message
    this.#message = undefined
    message?.examination.stop()
    this.#letGo()
    this.#inflater?.close()
    return message && this.#waits(message) ? message : undefined
  }

  async #take(bytes: Buffer, parts: readonly FramePart[]): Promise<void> {
    let from = 0
    for (const part of parts) {
      if (this.#over) return
      this.#keep(bytes.subarray(from, part.at))
      from = part.at
      if (part.kind === 'text' || part.kind === 'binary') await this.#data(part.kind, part)
      else if (this.#message && this.#waits(this.#message))
        this.#message.controls.push(clientFrame(part.kind, part.payload))
      else this.#passRaw()
    }
    if (this.#over) return
    if (from < bytes.length) this.#keep(bytes.subarray(from))
    this.#judgeWhereFull()
  }

  /** @throws ProxyError message_too_big */
  #keep(bytes: Buffer): void {
    this.#raw.push(bytes)
    this.#rawSize += bytes.length
    this.#hold(bytes)
    if (this.#weight > MAX_RAW) throw tooBig()
  }

  #hold(bytes: Buffer): void {
    this.#weight += weightOf(bytes)
    this.#holding.bytes += weightOf(bytes)
  }

  /** @returns what was sent and went nowhere yet */
  #letGo(): Buffer[] {
    const raw = this.#raw
    this.#raw = []
    this.#rawSize = 0
    this.#holding.bytes -= this.#weight
    this.#weight = 0
    return raw
  }

  /** What is no content (pings, empty fragments) fills the room for all as well. @throws ProxyError message_too_big */
  #judgeWhereFull(): void {
    const message = this.#message
    if (!message || !this.#waits(message) || this.#holding.bytes <= MAX_HELD) return
    if (message.judged) throw tooBig()
    message.examination.more([])
    if (message.judged) this.#judged(message, message.judged, false)
  }

  async #data(kind: 'text' | 'binary', { rsv, payload, ends }: FramePart): Promise<void> {
    this.#message ??= this.#begin(kind, rsv)
    const message = this.#message
    if (rsv === DEFLATED && this.#inflater) await this.#inflater.write(payload, ends)
    else this.#content(payload)
    if (this.#over) return
    if (ends) {
      message.examination.end()
      await message.verdict
    }
    if (this.#over || !message.judged) return
    this.#judged(message, message.judged, ends)
    if (ends) this.#message = undefined
  }

  #begin(kind: 'text' | 'binary', rsv: number): Judging {
    const { promise, resolve } = Promise.withResolvers<Judged>()
    const unread = rsv !== 0 && !(rsv === DEFLATED && this.#inflater)
    const facts: RequestFacts = {
      ...this.#request,
      field: () => NO_FIELDS,
      kind: unread ? 'upgrade' : 'message',
      model: this.#model,
    }
    const examination = new Examination(this.#policy, this.#governed, facts, this.#holding, (judged) => {
      message.judged = judged
      resolve(judged)
    })
    const message: Judging = {
      ...{ kind, rsv, examination, parts: [], controls: [] },
      ...{ verdict: promise, judged: undefined },
    }
    examination.start()
    return message
  }

  /** Of the message that is being judged. */
  #content(bytes: Buffer): boolean {
    const message = this.#message
    if (!message || this.#over) return true
    // What goes on as it was sent needs to be kept no longer.
    if (!this.#waits(message)) return true
    message.parts.push(bytes)
    if (message.judged) this.#hold(bytes)
    else message.examination.more([bytes])
    return true
  }

  #judged(message: Judging, judged: Judged, ends: boolean): void {
    this.#model = judged.model ?? this.#model
    if (judged.action === 'block') {
      this.#over = true
      this.#message = undefined
      this.#letGo()
      this.#host.blocked(judged, message)
    } else if (judged.body) {
      this.#plainFromHere ||= this.#takeover
      this.#replace(message, judged.body, judged)
    } else if (!this.#rewrites(message)) {
      message.parts = []
      this.#passRaw()
    } else if (ends) {
      this.#replace(message, Buffer.concat(message.parts))
    }
  }

  /** Nothing of it has gone on. */
  #waits(message: Judging): boolean {
    return message.judged === undefined || this.#rewrites(message)
  }

  #rewrites({ rsv }: Judging): boolean {
    return this.#plainFromHere && rsv === DEFLATED
  }

  #replace(message: Judging, content: Buffer, redacted?: Judged): void {
    const made = Buffer.concat([...message.controls, clientFrame(message.kind, content)])
    const sent = this.#rawSize
    this.#letGo()
    this.#host.rewritten(sent - made.length, redacted)
    this.#host.pass(made)
  }

  #passRaw(): void {
    for (const bytes of this.#letGo()) if (bytes.length > 0) this.#host.pass(bytes)
  }

  #failed(error: unknown): void {
    if (!this.#over) this.#host.failed(error)
  }
}
