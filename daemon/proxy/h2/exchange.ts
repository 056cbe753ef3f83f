/**
 * One request (request.ts) and its answer (answer.ts) on a stream: recorded, the request's last frames held back until
 * it is on disk.
 *
 * What may go wrong ends in exactly one of: `complete`, `fail`, a reset of either side, or a side's going away. Each
 * tells the recorder once.
 */
import { callShape } from '../../../policies/call-shape.ts'
import type { Outcome } from '../../recorder/protocol.ts'
import { now } from '../clock.ts'
import type { Judged } from '../examination/judged.ts'
import { PolicyBlock } from '../examination/policy-block.ts'
import { refuseForAnchoring } from '../holding/errors.ts'
import type { ProxyError } from '../proxy-error.ts'
import { recordId } from '../record-id.ts'
import type { ExchangeListener } from '../recorder-link.ts'
import { type Governed, recordRefusal } from '../relay/facts.ts'
import { asProxyError, closed, outcomeOfCut, unreadableAnswer, unrecordable } from '../relay/failure.ts'
import { Recording } from '../relay/recording.ts'
import { Answer, type AnswerOut, type AnswerSink } from './answer.ts'
import { endPayload, factsAtEnd, saidOf } from './end-payload.ts'
import type { ExchangeHost } from './exchange-host.ts'
import { CODE } from './frame.ts'
import { type RecordedHead, type RequestFields, recordedHead } from './heads.ts'
import { H2HeldAnswer } from './held-answer.ts'
import { HeldStream } from './held-stream.ts'
import { Outgoing } from './outgoing.ts'
import type { Answered } from './own-answer.ts'
import type { DataPiece } from './piece.ts'
import type { DataFrame, HeaderList } from './receiver.ts'
import { Request, type RequestSink } from './request.ts'
import type { OnStream } from './streams.ts'
import { type WebSocketSink, WebSocketStream } from './web-socket-stream.ts'

export class H2Exchange
  implements ExchangeListener, OnStream, Answered, RequestSink, AnswerSink, WebSocketSink
{
  readonly stream: number
  readonly method: string
  readonly grpc: boolean
  readonly outgoing: Outgoing
  readonly #host: ExchangeHost
  readonly #wanted: Governed | undefined
  readonly #fields: RequestFields
  readonly request: Request
  readonly #answer: Answer
  #recording: Recording | undefined
  /** What the stream becomes, where that is recorded turn by turn. */
  #webSocket: WebSocketStream | undefined
  /** Its answer, where that waits for its record to be anchored. */
  #held: H2HeldAnswer | undefined
  /** The provider's word after an answer that is held. */
  #afterwards: number | undefined
  readonly #direct: AnswerOut
  #upgraded = false
  /** What it says after its head would have to be judged. */
  #undecided = false
  #over = false

  /** @param recorded what the record is opened with; undefined where none is wanted */
  constructor(host: ExchangeHost, stream: number, fields: RequestFields, recorded: Governed | undefined) {
    this.#host = host
    this.stream = stream
    this.method = fields.method
    this.grpc = fields.grpc
    this.#fields = fields
    this.#wanted = recorded
    this.outgoing = new Outgoing(host, this, () => this.lookComplete())
    this.request = new Request(host, fields, this.outgoing, this)
    this.#answer = new Answer(host, this)
    this.#direct = {
      headers: (list, endStream) => host.toAgent.headers(stream, list, endStream),
      data: ({ frame }) => host.toAgent.passData(stream, frame.raw),
    }
  }

  get providerStream(): number {
    return this.outgoing.stream
  }

  get requestDone(): boolean {
    return this.request.done
  }

  get over(): boolean {
    return this.#over
  }

  /** Its answer is what goes on or not, whatever still comes of the request. */
  get answering(): boolean {
    return this.requestDone || this.#answer.headed
  }

  get waitsForProvider(): boolean {
    if (this.#held && this.#over) return this.#held.waits
    if (this.#answer.done) return false
    if (this.#answer.headed) return this.#host.window.takes(this.outgoing.balance)
    return this.requestDone || this.#fields.tunnel
  }

  begin(list: HeaderList): void {
    const { shared, governed, failure } = this.#host
    shared.counters.exchanges += 1
    const judged = (verdict: Judged) => this.request.judged(verdict)
    // What goes nowhere needs no verdict.
    const held = failure
      ? undefined
      : HeldStream.of(
          shared,
          this.#wanted ?? governed,
          this.#fields,
          list,
          this.#wanted !== undefined,
          judged,
        )
    this.request.begin(list, held)
  }

  /** @returns false where it goes nowhere */
  data(data: DataFrame): boolean {
    const taken = this.request.data(data)
    this.lookComplete()
    return taken
  }

  goesOn(head: RecordedHead, judged: Judged | undefined): void {
    const { shared, failure } = this.#host
    const recorded = judged ? this.#under(judged) : this.#wanted
    this.#undecided = judged?.undecided === true
    const { refused } = shared.recorder
    if (recorded && refused !== undefined) {
      const { asked: method, target } = this.#fields
      const error = refuseForAnchoring(shared, recorded, refused, { method, target: target.path })
      this.#host.answer(this, error)
      this.#end('blocked', error)
      return
    }
    if (recorded) {
      if (this.#fields.webSocket) this.#webSocket = new WebSocketStream(this.#host, this.outgoing, this)
      this.#recording = Recording.open(shared, recorded, head, this)
      if (!this.#recording) this.unrecorded('the recorder can’t be reached')
    }
    if (failure) this.fail(failure.outcome, failure.error)
  }

  blocked(judged: Judged, tried: readonly Buffer[]): void {
    const { shared, governed } = this.#host
    const { asked, target } = this.#fields
    const recorded = this.#under(judged)
    const error = new PolicyBlock(judged, callShape(asked, target.path) ?? governed.provider.style)
    this.#recordTried(recorded, tried)
    if (this.#recording) shared.counters.refused += 1
    else recordRefusal(shared, recorded ?? governed, judged.rule ?? governed.rule, error.message)
    this.#host.answer(this, error)
    this.#end('blocked', error)
  }

  /** What is recorded, with the verdict. */
  #under(judged: Judged): Governed | undefined {
    const wanted = this.#wanted
    return wanted && { ...wanted, rule: judged.rule ?? wanted.rule, verdict: judged }
  }

  /** Of what goes nowhere: evidence, for which nothing waits. */
  #recordTried(recorded: Governed | undefined, tried: readonly Buffer[]): void {
    this.#recording = recorded && Recording.open(this.#host.shared, recorded, this.#fields.head, this)
    this.#recording?.requestBody(tried)
  }

  content(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#recording?.requestBody([bytes])
    this.#checkRecorder()
  }

  tunnelled(piece: DataPiece): void {
    if (this.#webSocket) {
      this.#webSocket.fromAgent(piece)
      this.#checkRecorder()
    } else if (this.#undecided) {
      this.#host.discarded(piece.data.frame.payload.length)
    } else {
      this.content(piece.data.content)
      this.outgoing.follow(piece)
    }
  }

  wholeBefore(trailers: string | undefined): void {
    this.#recording?.requestEnd(trailers)
    if (!this.#recording || !this.#host.shared.holdBack) this.#release()
  }

  #release(): void {
    this.outgoing.release()
    this.lookComplete()
  }

  answerHeaders(list: HeaderList): void {
    if (this.#answering(() => this.#answer.headers(list))) this.#webSocket?.begin()
  }

  /** @returns false where the agent is given nothing of it now */
  answerData(data: DataFrame): boolean {
    if (this.#held) {
      this.#answering(() => this.#answer.data(data))
      return false
    }
    this.outgoing.answerPassed(data.frame.payload.length)
    return this.#answering(() => this.#answer.data(data))
  }

  get out(): AnswerOut {
    return this.#held ?? this.#direct
  }

  /** The agent takes more. */
  goOn(): void {
    this.#held?.flush()
  }

  #answering(step: () => void): boolean {
    try {
      step()
    } catch (error) {
      this.fail('protocol-error', unreadableAnswer(this.#host.governed.name, error))
      return false
    }
    if (this.#answer.done) this.#webSocket?.providerEnded()
    this.lookComplete()
    this.#checkRecorder()
    return true
  }

  head(list: HeaderList, status: number): void {
    this.#upgraded = this.#fields.tunnel && status >= 200 && status < 300
    const response = recordedHead(list.fields)
    this.#recording?.responseHead(response)
    if (status >= 200) this.#hold()
    if (this.#webSocket && status >= 200) this.#switched(this.#webSocket, response)
  }

  /** From here on nothing goes to the agent before the record of it is anchored, where the settings say so. */
  #hold(): void {
    const { shared } = this.#host
    if (!shared.holds.settings || !this.#recording || !this.#wanted || this.#fields.tunnel) return
    this.#held = new H2HeldAnswer(this.#host, this.#wanted, this.#recording.id, this)
  }

  handedOut(): void {
    if (this.#afterwards !== undefined) this.#host.toAgent.reset(this.stream, this.#afterwards)
    this.#host.over(this)
  }

  /** The record of it could not be anchored in time: the provider's answer stays here. */
  withheld(error: ProxyError): void {
    if (!this.#over) {
      this.fail('blocked', error)
      return
    }
    this.#host.shared.counters.failed += 1
    this.#cut(error)
    this.#host.over(this)
  }

  /** The handshake's record ends here; each turn makes one of its own. */
  #switched(webSocket: WebSocketStream, response: RecordedHead): void {
    if (!this.#upgraded || !this.#wanted) {
      this.#webSocket = undefined
      // Of what it said already nothing was judged.
      if (this.#undecided) webSocket.discard()
      else for (const piece of webSocket.early()) this.tunnelled(piece)
      return
    }
    const facts = factsAtEnd(this.#host, true)
    const id = this.#recording?.id ?? recordId(now())
    this.#recording?.end({ outcome: 'complete', ...facts })
    this.#recording = undefined
    webSocket.open(this.#wanted, { request: this.#fields.head, response, id, facts })
  }

  body(content: Buffer): void {
    if (content.length === 0) return
    if (this.#webSocket) this.#webSocket.fromProvider(content)
    else this.#recording?.responseBody([content])
  }

  failed(error: unknown): void {
    const known = asProxyError(error)
    this.fail(outcomeOfCut(known), known)
  }

  /** Both sides came to their end. */
  lookComplete(): void {
    this.#webSocket?.giveRoom()
    if (this.#over || !this.#answer.done || !this.requestDone || !this.outgoing.empty) return
    if (this.#webSocket?.allSent === false) return
    this.#end('complete')
  }

  agentReset(code: number): void {
    this.#held?.abandon()
    if (this.#over) {
      this.#host.over(this)
      return
    }
    this.#held = undefined
    this.outgoing.reset(code)
    this.#end(this.#answer.done ? 'complete' : 'client-aborted')
  }

  providerReset(code: number): void {
    this.#reset(code, closed(`${this.#host.governed.name} reset the stream with code ${code}`))
  }

  /** @param why what the record says */
  #reset(code: number, why: ProxyError): void {
    if (this.#over) return
    if (this.#held && this.#answer.done) {
      this.#afterwards = code
      this.#end('complete')
      return
    }
    this.#host.toAgent.reset(this.stream, code)
    if (this.#answer.done) {
      this.#end('complete')
      return
    }
    this.#held?.drop()
    this.#held = undefined
    this.#host.shared.counters.failed += 1
    this.#end('upstream-aborted', why)
  }

  /** The provider did nothing with it: the agent may ask again. */
  refusedByProvider(
    why = closed(`${this.#host.governed.name} takes no new request on its connection`),
  ): void {
    this.#reset(CODE.refusedStream, why)
  }

  providerGone(outcome: Outcome, error: ProxyError): void {
    // One that wants a certificate goes away each time.
    const again = this.providerStream === 0 && error.code !== 'upstream_wants_certificate'
    if (again) this.refusedByProvider(error)
    else this.fail(outcome, error)
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
    this.fail('not-recorded', unrecordable(reason))
  }

  /** The policy lets a call go on whose record can't be kept: counted, and no more. */
  #forwardUnrecorded(): void {
    this.#host.shared.counters.unrecorded += 1
    this.#recording = undefined
    this.#host.proceed(this)
    this.#held?.letGo()
    this.#webSocket?.goOn()
    if (this.requestDone || this.#fields.tunnel) this.#release()
  }

  #checkRecorder(): void {
    const { recorder } = this.#host.shared
    if (this.#over || !(this.#recording || this.#webSocket) || !recorder.full) return
    this.#host.wait(this)
    recorder.whenDrained(this)
  }

  recorderDrained(): void {
    this.#host.proceed(this)
  }

  /** The gateway gives up on it: it answers where nothing was answered yet. */
  fail(outcome: Outcome, error: ProxyError): void {
    if (this.#over) return
    const { shared, governed } = this.#host
    shared.counters.failed += 1
    if (error.code === 'upstream_wants_certificate') void shared.refusers.add(governed, now())
    this.outgoing.reset(CODE.cancel)
    // Before the end, with which the connection may close.
    this.#cut(error)
    this.#held = undefined
    this.#end(outcome, error)
  }

  /** What the agent gets in place of the answer, or of the rest of it. */
  #cut(error: ProxyError): void {
    this.#held?.drop()
    if (this.#held ? this.#held.begun : this.#answer.begun)
      this.#host.toAgent.reset(this.stream, this.#lastWords(error) ? CODE.noError : CODE.internalError)
    else this.#host.answer(this, error)
  }

  /** Why a WebSocket is cut, as far as the agent has room for it. @returns whether it could be told */
  #lastWords(error: ProxyError): boolean {
    const { window, toAgent } = this.#host
    const words = this.#webSocket?.lastWords(error)
    if (!words || words.length > window.roomFor(this.outgoing.balance)) return false
    window.sentAgain(words.length)
    this.outgoing.answerHandedOut(words.length)
    toAgent.data(this.stream, words, true)
    return true
  }

  #end(outcome: Outcome, error?: ProxyError): void {
    if (this.#over) return
    const unjudged = this.request.stop()
    if (unjudged) this.#recordTried(this.#wanted, unjudged)
    this.#over = true
    this.#webSocket?.end(outcome, error && saidOf(error))
    this.outgoing.drop()
    const { trailers } = this.#answer
    const payload = {
      ...endPayload(this.#host, outcome, this.providerStream > 0, error),
      ...(trailers === undefined ? {} : { trailers }),
      ...(this.#upgraded ? { upgraded: true } : {}),
    }
    this.#recording?.end(payload, this.#held?.listener)
    if (this.#held) this.#held.whole()
    else this.#host.over(this)
  }
}
