/**
 * One request and its answer on a stream: checked, recorded, passed on frame by frame, its last frames held back until
 * it is on disk (outgoing.ts).
 *
 * What may go wrong ends in exactly one of: `complete`, `#fail`, a reset of either side, or a side's going away. Each
 * tells the recorder once.
 */
import type { Outcome } from '../../recorder/protocol.ts'
import { ProxyError } from '../proxy-error.ts'
import type { ExchangeListener } from '../recorder-link.ts'
import type { Governed } from '../relay/facts.ts'
import { asProxyError, closed, unforwardable } from '../relay/failure.ts'
import { Recording } from '../relay/recording.ts'
import { endPayload } from './end-payload.ts'
import type { ExchangeHost } from './exchange-host.ts'
import { CODE } from './frame.ts'
import { type RequestFields, readResponse, readTrailers, recordedHead, wrongLength } from './heads.ts'
import { Outgoing, type Piece } from './outgoing.ts'
import type { DataFrame, HeaderList } from './receiver.ts'
import type { OnStream } from './streams.ts'

export class H2Exchange implements ExchangeListener, OnStream {
  readonly stream: number
  readonly method: string
  readonly #host: ExchangeHost
  readonly #wanted: Governed | undefined
  readonly #request: RequestFields
  readonly #outgoing: Outgoing
  #recording: Recording | undefined
  #received = 0
  #requestDone = false
  /** The final head came. */
  #headed = false
  #upgraded = false
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
    this.#wanted = recorded
    this.#outgoing = new Outgoing(host, this)
  }

  get providerStream(): number {
    return this.#outgoing.stream
  }

  get requestDone(): boolean {
    return this.#requestDone
  }

  /** Its answer is what goes on or not, whatever still comes of the request. */
  get answering(): boolean {
    return this.#requestDone || this.#headed
  }

  get waitsForProvider(): boolean {
    if (this.#answerDone) return false
    if (this.#headed) return this.#host.window.takes(this.#outgoing.balance)
    return this.#requestDone || this.#request.tunnel
  }

  begin(list: HeaderList): void {
    const { shared, failure } = this.#host
    shared.counters.exchanges += 1
    if (this.#wanted) {
      this.#recording = Recording.open(shared, this.#wanted, this.#request.head, this)
      if (!this.#recording) this.unrecorded('the recorder can’t be reached')
    }
    if (this.#over) return
    if (failure) this.#fail(failure.outcome, failure.error)
    else if (list.endStream) this.#requestComplete({ kind: 'head', list }, undefined)
    else if (this.#request.tunnel) this.#tunnelAsked({ kind: 'head', list })
    else this.#outgoing.send({ kind: 'head', list })
  }

  /** @returns false where it goes nowhere */
  data(data: DataFrame): boolean {
    const { content, frame, endStream } = data
    if (this.#requestDone) {
      this.#fail(
        'protocol-error',
        new ProxyError('malformed_frame', 'DATA after the request’s end', 'Send one body.'),
      )
      return false
    }
    this.#received += content.length
    const { length } = this.#request
    if (length !== undefined && (this.#received > length || (endStream && this.#received < length))) {
      this.#fail('protocol-error', wrongLength('a body that is not as long as Content-Length says'))
      return false
    }
    this.#recording?.requestBody([content])
    const piece = { kind: 'data', data } as const
    if (this.#request.tunnel) this.#tunnelled(piece, endStream)
    else if (endStream) this.#requestComplete(piece, undefined)
    else if (this.#received === length && content.length > 0) this.#outgoing.hold(piece)
    else if (frame.payload.length > 0) this.#outgoing.send(piece)
    this.#checkRecorder()
    return true
  }

  trailers(list: HeaderList): void {
    try {
      if (this.#requestDone || this.#request.tunnel)
        throw new ProxyError('malformed_frame', 'a second end', 'Send one request.')
      const trailers = readTrailers(list)
      const { length } = this.#request
      if (length !== undefined && this.#received < length) throw wrongLength('a body that is too short')
      this.#requestComplete({ kind: 'trailers', list }, trailers)
    } catch (error) {
      this.#fail('protocol-error', asProxyError(error))
    }
  }

  /** The request is its head; what comes after that is the tunnel's. */
  #tunnelAsked(head: Piece): void {
    this.#outgoing.hold(head)
    this.#askDurable(undefined)
  }

  #tunnelled(piece: Piece, last: boolean): void {
    this.#requestDone = last
    if (!this.#outgoing.empty) this.#outgoing.hold(piece)
    else this.#outgoing.send(piece)
    this.#lookComplete()
  }

  #requestComplete(piece: Piece, trailers: string | undefined): void {
    this.#requestDone = true
    this.#outgoing.hold(piece)
    this.#askDurable(trailers)
  }

  /** All that must be on disk before its last piece goes out. */
  #askDurable(trailers: string | undefined): void {
    this.#recording?.requestEnd(trailers)
    if (!this.#recording || !this.#host.shared.holdBack) this.#release()
  }

  #release(): void {
    this.#outgoing.release()
    this.#lookComplete()
  }

  /** The agent takes more of the answer. */
  agentTakes(increment: number): void {
    this.#outgoing.agentTakes(increment)
  }

  answerHeaders(list: HeaderList): void {
    const { toAgent, hide } = this.#host
    try {
      if (this.#answerDone) throw new Error('fields after its end')
      if (this.#headed) {
        this.#trailers = readTrailers(list)
        toAgent.headers(this.stream, list.fields, true)
      } else {
        const status = readResponse(list)
        this.#headed = status >= 200
        this.#upgraded = this.#request.tunnel && status >= 200 && status < 300
        if (!this.#headed && list.endStream) throw new Error('it ends with an informational status')
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
    this.#outgoing.answerPassed(frame.payload.length)
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
    if (this.#over || !this.#answerDone || !this.#requestDone || !this.#outgoing.empty) return
    this.#end('complete')
  }

  #unreadable(error: unknown): void {
    this.#fail('protocol-error', unforwardable(this.#host.governed.name, error))
  }

  agentReset(code: number): void {
    this.#outgoing.reset(code)
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
    if (this.#requestDone || this.#request.tunnel) this.#release()
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

  /** The gateway gives up on it: it answers where nothing was answered yet. */
  abort(outcome: Outcome, error: ProxyError): void {
    this.#fail(outcome, error)
  }

  #fail(outcome: Outcome, error: ProxyError): void {
    if (this.#over) return
    this.#host.shared.counters.failed += 1
    this.#outgoing.reset(CODE.cancel)
    // Before the end, with which the connection may close.
    if (this.#answered) this.#host.toAgent.reset(this.stream, CODE.internalError)
    else this.#host.answer(this.stream, error, this.method, this.#requestDone)
    this.#end(outcome, error)
  }

  #end(outcome: Outcome, error?: ProxyError): void {
    if (this.#over) return
    this.#over = true
    this.#outgoing.drop()
    this.#recording?.end({
      ...endPayload(this.#host, outcome, this.providerStream > 0, error),
      ...(this.#trailers === undefined ? {} : { trailers: this.#trailers }),
      ...(this.#upgraded ? { upgraded: true } : {}),
    })
    this.#host.over(this)
  }
}
