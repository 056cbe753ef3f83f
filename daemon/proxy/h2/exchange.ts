/**
 * One request and its answer on a stream: checked, recorded, passed on frame by frame, its last frames held back until
 * it is on disk. Towards the provider the stream gets its number when its first frame goes out: held requests would
 * otherwise keep later ones waiting, whose numbers must be larger.
 *
 * What may go wrong ends in exactly one of: `complete`, `#fail`, a reset of either side, or a side's going away. Each
 * tells the recorder once.
 */
import { messageOf } from '../../base/errors.ts'
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
import { ProxyError } from '../proxy-error.ts'
import type { ExchangeListener } from '../recorder-link.ts'
import type { Governed } from '../relay/facts.ts'
import { asProxyError, closed } from '../relay/failure.ts'
import { CERTIFICATE_WANTED, Recording } from '../relay/recording.ts'
import type { ExchangeHost } from './exchange-host.ts'
import { CODE } from './frame.ts'
import { type RequestFields, readResponse, readTrailers, recordedHead, wrongLength } from './heads.ts'
import type { DataFrame, HeaderList, Priority } from './receiver.ts'

/** Frames of a request on their way to the provider. */
type Piece =
  | { readonly kind: 'head'; readonly list: HeaderList }
  | { readonly kind: 'data'; readonly data: DataFrame }
  | { readonly kind: 'trailers'; readonly list: HeaderList }

export class H2Exchange implements ExchangeListener {
  /** The agent's number. */
  readonly stream: number
  readonly method: string
  /** The provider's; 0 while nothing was sent to it. */
  providerStream = 0
  readonly #host: ExchangeHost
  readonly #recorded: Governed | undefined
  readonly #request: RequestFields
  #recording: Recording | undefined
  /** The last pieces, which wait for the record. */
  #held: Piece[] = []
  #received = 0
  /** What the agent takes of an answer to a request that isn't out yet. */
  #credit = 0
  #requestDone = false
  /** The final head came. */
  #headed = false
  /** Something of an answer went to the agent. */
  #answered = false
  #answerDone = false
  #trailers: string | undefined
  #over = false

  /** @param recorded what the record is opened with; undefined where none is wanted */
  constructor(host: ExchangeHost, stream: number, request: RequestFields, recorded: Governed | undefined) {
    this.#host = host
    this.stream = stream
    this.#request = request
    this.method = request.method
    this.#recorded = recorded
  }

  get requestDone(): boolean {
    return this.#requestDone
  }

  /** Nothing but the provider's time bounds it. */
  get waitsForProvider(): boolean {
    return this.#requestDone || this.#headed
  }

  begin(list: HeaderList): void {
    const { shared, failure } = this.#host
    shared.counters.exchanges += 1
    if (this.#recorded) {
      this.#recording = Recording.open(shared, this.#recorded, this.#request.head, this)
      if (!this.#recording) this.unrecorded('the recorder can’t be reached')
    }
    if (this.#over) return
    if (failure) this.#fail(failure.outcome, failure.error)
    else if (list.endStream) this.#requestComplete({ kind: 'head', list }, undefined)
    else this.#send({ kind: 'head', list })
  }

  /** @returns false where it goes nowhere */
  data(data: DataFrame): boolean {
    const { content, frame, endStream } = data
    if (this.#requestDone) {
      this.#reject(new ProxyError('malformed_frame', 'DATA after the request’s end', 'Send one body.'))
      return false
    }
    this.#received += content.length
    const { length } = this.#request
    if (length !== undefined && (this.#received > length || (endStream && this.#received < length))) {
      this.#reject(wrongLength('a body that is not as long as Content-Length says'))
      return false
    }
    this.#recording?.requestBody([content])
    const piece = { kind: 'data', data } as const
    if (endStream) this.#requestComplete(piece, undefined)
    else if (this.#received === length && content.length > 0) this.#held.push(piece)
    else if (frame.payload.length > 0) this.#send(piece)
    this.#checkRecorder()
    return true
  }

  trailers(list: HeaderList): void {
    try {
      if (this.#requestDone) throw new ProxyError('malformed_frame', 'a second end', 'Send one request.')
      const trailers = readTrailers(list)
      const { length } = this.#request
      if (length !== undefined && this.#received < length) throw wrongLength('a body that is too short')
      this.#requestComplete({ kind: 'trailers', list }, trailers)
    } catch (error) {
      this.#reject(asProxyError(error))
    }
  }

  #requestComplete(piece: Piece, trailers: string | undefined): void {
    this.#requestDone = true
    this.#held.push(piece)
    this.#recording?.requestEnd(trailers)
    if (!this.#recording || !this.#host.shared.holdBack) this.#release()
  }

  #release(): void {
    const held = this.#held
    this.#held = []
    for (const piece of held) this.#send(piece)
    this.#lookComplete()
  }

  #send(piece: Piece): void {
    const { toProvider } = this.#host
    if (piece.kind === 'data') {
      toProvider.passData(this.providerStream, piece.data.frame.raw)
    } else if (piece.kind === 'trailers') {
      toProvider.headers(this.providerStream, piece.list.fields, true)
    } else {
      this.providerStream = this.#host.opened(this)
      const { fields, endStream, priority } = piece.list
      toProvider.headers(this.providerStream, fields, endStream, this.#priority(priority))
      if (this.#credit > 0) toProvider.windowUpdate(this.providerStream, this.#credit)
    }
  }

  /** In the provider's numbers. */
  #priority(priority: Priority | undefined): Priority | undefined {
    const dependsOn = priority && this.#host.providerStreamOf(priority.dependsOn)
    return priority && { ...priority, dependsOn: dependsOn ?? 0 }
  }

  /** The agent takes more of the answer. */
  agentTakes(increment: number): void {
    if (this.providerStream > 0) this.#host.toProvider.windowUpdate(this.providerStream, increment)
    else this.#credit += increment
  }

  answerHeaders(list: HeaderList): void {
    const { toAgent, hide } = this.#host
    try {
      if (this.#headed) {
        this.#trailers = readTrailers(list)
        toAgent.headers(this.stream, list.fields, true)
      } else {
        const status = readResponse(list)
        this.#headed = status >= 200
        this.#recording?.responseHead(recordedHead(list.fields))
        this.#answered = true
        const shown = list.fields.filter(({ name }) => name !== hide)
        toAgent.headers(this.stream, shown, list.endStream, undefined)
      }
      if (list.endStream) this.#answerComplete()
      this.#checkRecorder()
    } catch (error) {
      this.#unreadable(error)
    }
  }

  /** @returns false where it goes nowhere */
  answerData({ frame, content, endStream }: DataFrame): boolean {
    if (!this.#headed || this.#answerDone) {
      this.#unreadable(new Error('a body without a head, or after its end'))
      return false
    }
    this.#recording?.responseBody([content])
    if (frame.payload.length > 0 || endStream) this.#host.toAgent.passData(this.stream, frame.raw)
    if (endStream) this.#answerComplete()
    this.#checkRecorder()
    return true
  }

  #answerComplete(): void {
    this.#answerDone = true
    this.#lookComplete()
  }

  /** Both sides came to their end. */
  #lookComplete(): void {
    if (this.#over || !this.#answerDone || !this.#requestDone || this.#held.length > 0) return
    this.#end('complete')
  }

  #unreadable(error: unknown): void {
    const reason = `the answer of ${this.#host.governed.name} can't be forwarded: ${messageOf(error)}`
    this.#fail(
      'protocol-error',
      new ProxyError('upstream_protocol_error', reason, 'Tell the provider.', error),
    )
  }

  agentReset(code: number): void {
    if (this.providerStream > 0) this.#host.toProvider.reset(this.providerStream, code)
    this.agentGone()
  }

  agentGone(): void {
    this.#end(this.#answerDone ? 'complete' : 'client-aborted')
  }

  providerReset(code: number): void {
    this.#host.toAgent.reset(this.stream, code)
    if (this.#answerDone) {
      this.#end('complete')
      return
    }
    this.#host.shared.counters.failed += 1
    this.#end('upstream-aborted', closed(`${this.#host.governed.name} reset the stream with code ${code}`))
  }

  /** The provider did nothing with it: the agent may ask again. */
  refusedByProvider(): void {
    this.providerReset(CODE.refusedStream)
  }

  providerGone(outcome: Outcome, error: ProxyError): void {
    if (this.providerStream === 0) this.refusedByProvider()
    else this.#fail(outcome, error)
  }

  durable(): void {
    if (!this.#over) this.#release()
  }

  unrecorded(reason: string): void {
    if (this.#over) return
    if (this.#host.shared.policy.proxy.unrecorded === 'forward') {
      this.#forwardUnrecorded()
      return
    }
    const message = `this exchange can't be recorded, so it is not forwarded: ${reason}`
    const remedy = 'See `agent-anchor status` on this machine; try again once the recorder runs.'
    this.#fail('not-recorded', new ProxyError('recorder_unavailable', message, remedy))
  }

  /** The policy lets a call go on whose record can't be kept: counted, and no more. */
  #forwardUnrecorded(): void {
    this.#host.shared.counters.unrecorded += 1
    this.#recording = undefined
    this.#host.proceed(this)
    if (this.#requestDone) this.#release()
  }

  #checkRecorder(): void {
    const { recorder } = this.#host.shared
    if (this.#over || !this.#recording || !recorder.full) return
    this.#host.wait(this)
    recorder.whenDrained(this)
  }

  recorderDrained(): void {
    this.#host.proceed(this)
  }

  #reject(error: ProxyError): void {
    this.#fail('protocol-error', error)
  }

  /** The gateway gives up on it: it answers where nothing was answered yet. */
  abort(outcome: Outcome, error: ProxyError): void {
    this.#fail(outcome, error)
  }

  #fail(outcome: Outcome, error: ProxyError): void {
    if (this.#over) return
    this.#host.shared.counters.failed += 1
    if (this.providerStream > 0) this.#host.toProvider.reset(this.providerStream, CODE.cancel)
    // Before the end, with which the connection may close.
    if (this.#answered) this.#host.toAgent.reset(this.stream, CODE.internalError)
    else this.#host.answer(this.stream, error, this.method, this.#requestDone)
    this.#end(outcome, error)
  }

  #end(outcome: Outcome, error?: ProxyError): void {
    if (this.#over) return
    this.#over = true
    for (const piece of this.#held) {
      if (piece.kind === 'data') this.#host.discarded(piece.data.frame.payload.length)
    }
    this.#held = []
    const { upstream, mismatch } = this.#host
    const payload: EndPayload = {
      outcome,
      ...(upstream && this.providerStream > 0 ? { upstream: upstream.endpoint } : {}),
      ...(mismatch ? { destinationMismatch: true } : {}),
      ...(error ? { error: { code: error.code, message: error.message } } : {}),
      ...(this.#trailers === undefined ? {} : { trailers: this.#trailers }),
      ...(upstream?.wantsCertificate ? { flags: [CERTIFICATE_WANTED] } : {}),
    }
    this.#recording?.end(payload)
    this.#host.over(this)
  }
}
