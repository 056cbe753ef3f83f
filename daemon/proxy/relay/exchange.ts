/**
 * One request and its response: read from the agent, recorded, held back until it is on disk, forwarded as it
 * came (outgoing.ts) on a connection (supply.ts); and the answer back (answer.ts).
 *
 * What may go wrong ends in exactly one of: `complete`, `#fail` (the gateway answers where nothing was answered
 * yet, else cuts), or the agent's going away. Each tells the recorder once.
 */
import { callShape } from '../../../policies/call-shape.ts'
import { messageOf } from '../../base/errors.ts'
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
import { now } from '../clock.ts'
import type { Judged } from '../examination/judged.ts'
import { PolicyBlock } from '../examination/policy-block.ts'
import { type BodyReader, bodyReader } from '../http/body.ts'
import { keepAliveSeconds, persists, requestFraming } from '../http/framing.ts'
import { parseRequestHead, type RequestHead, type ResponseHead } from '../http/head.ts'
import { joined } from '../http/joined.ts'
import { ProxyError } from '../proxy-error.ts'
import { recordId } from '../record-id.ts'
import type { DrainListener, ExchangeListener } from '../recorder-link.ts'
import { PAUSED_BY, type UpstreamConnection } from '../upstream/connection.ts'
import { certificateWanted } from '../upstream/dial.ts'
import { isWebSocket } from '../web-socket/extensions.ts'
import { WebSocketRelay } from '../web-socket/web-socket.ts'
import { AGENT_PAUSED_BY, type AgentSide } from './agent-side.ts'
import { Answer, type AnswerSink } from './answer.ts'
import { type Governed, recordRefusal, type Shared } from './facts.ts'
import { asProxyError, closed, outcomeOf, unforwardable } from './failure.ts'
import { HeldRequest } from './held-request.ts'
import { Outgoing } from './outgoing.ts'
import { CERTIFICATE_WANTED, Recording } from './recording.ts'
import { endOfPatience, type Stalled } from './stalled.ts'
import { type Supplied, Supply } from './supply.ts'
import { whatIsRecorded } from './what-is-recorded.ts'

/** RFC 9110 §9.2.2, less PUT and DELETE: what they do twice may be seen. */
const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS'])
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n')

export class Exchange implements Supplied, ExchangeListener, DrainListener, AnswerSink {
  readonly request: RequestHead
  readonly #shared: Shared
  readonly #agent: AgentSide
  readonly #requestBody: BodyReader
  readonly #outgoing: Outgoing
  readonly #supply: Supply
  readonly #answer: Answer
  /** What the record is opened with; undefined where no record is wanted. */
  readonly #recorded: Governed | undefined
  /** Until the policy's rules have judged it: nothing of it went anywhere. */
  #held: HeldRequest | undefined
  /** Its body went out as another: trailers of the old one did not. */
  #redacted = false
  #recording: Recording | undefined
  /** What the connection became, where that is recorded turn by turn. */
  #webSocket: WebSocketRelay | undefined
  #requestDone = false
  #agentEnded = false
  #upstreamEnded = false
  /** A byte of an answer came from the provider; one went to the agent. */
  #heard = false
  #answered = false
  #over = false

  /**
   * Parses and checks the head; nothing is sent anywhere yet.
   * @throws ProxyError where the request must be refused
   */
  constructor(shared: Shared, agent: AgentSide, head: Buffer) {
    this.request = parseRequestHead(head)
    this.#shared = shared
    this.#agent = agent
    this.#recorded = whatIsRecorded(shared, agent.governed, this.request)
    const framing = requestFraming(this.request)
    this.#requestBody = bodyReader(framing)
    const judged = (verdict: Judged) => this.#judged(verdict)
    this.#held = HeldRequest.of(shared, this.#recorded ?? agent.governed, this.request, framing, judged)
    this.#outgoing = new Outgoing(REPEATABLE.has(this.request.method))
    this.#supply = new Supply(shared, agent, this.#outgoing, this)
    this.#answer = new Answer(
      this.request,
      this,
      shared.policy.proxy.altSvc === 'strip' ? 'alt-svc' : undefined,
    )
  }

  get requestDone(): boolean {
    return this.#requestDone
  }

  /**
   * Opens the record, finds a connection and takes the body's bytes that came with the head.
   * @param next index in `bytes` after the head
   * @returns index after the last byte that belongs to this request
   * @throws ProxyError malformed_chunk
   */
  begin(head: Buffer, bytes: Buffer, next: number): number {
    this.#shared.counters.exchanges += 1
    if (this.#held) this.#held.start()
    else this.#go(this.#recorded, this.request)
    if (this.#held?.wantsContinue && next === bytes.length) this.#agent.write(CONTINUE)
    return this.#over ? bytes.length : this.#take(bytes, next, head)
  }

  /** Opens the record and finds a connection. */
  #go(recorded: Governed | undefined, head: RequestHead): void {
    if (recorded && !this.#record(recorded, head)) this.unrecorded('the recorder can’t be reached')
    if (!this.#over) this.#supply.start()
  }

  #record(recorded: Governed, head: RequestHead): boolean {
    this.#recording = Recording.open(this.#shared, recorded, head, this)
    return this.#recording !== undefined
  }

  /** More bytes from the agent; says the index after the last one that belongs here. @throws ProxyError malformed_chunk */
  more(bytes: Buffer): number {
    if (this.#over) return bytes.length
    if (this.#answer.isTunnel) {
      if (this.#webSocket) {
        this.#webSocket.fromAgent(bytes)
      } else {
        this.#recording?.requestBody([bytes])
        this.#push(bytes)
      }
      this.#checkRecorder()
      return bytes.length
    }
    return this.#requestDone ? 0 : this.#take(bytes, 0)
  }

  #take(bytes: Buffer, offset: number, head?: Buffer): number {
    const parts: Buffer[] = []
    const end = this.#requestBody.read(bytes, offset, parts)
    const raw = joined(head, bytes, offset, end)
    if (this.#held) {
      this.#requestDone = this.#requestBody.done
      this.#held.take(raw, parts, this.#requestDone)
    } else {
      this.#pass(raw, parts, head !== undefined)
    }
    return this.#over ? bytes.length : end
  }

  /** @param whole they begin with the head */
  #pass(raw: Buffer, parts: readonly Buffer[], whole: boolean): void {
    this.#recording?.requestBody(parts)
    if (this.#requestBody.done) this.#requestComplete(raw, whole)
    else this.#push(raw)
    this.#checkRecorder()
  }

  /** The policy's rules have judged it: all that was held goes on, or nothing of it ever does. */
  #judged(judged: Judged): void {
    const held = this.#held
    this.#held = undefined
    if (!held || this.#over) return
    const { head, raw, parts } = held.release(judged)
    const { rule = this.#recorded?.rule } = judged
    const recorded = this.#recorded && rule ? { ...this.#recorded, rule, verdict: judged } : undefined
    if (judged.action === 'block') {
      this.#block(judged, recorded, parts)
      return
    }
    this.#redacted = judged.body !== undefined
    this.#go(recorded, head)
    if (!this.#over && raw.length > 0) this.#pass(raw, parts, true)
  }

  #block(judged: Judged, recorded: Governed | undefined, parts: readonly Buffer[]): void {
    const { governed } = this.#agent
    const style = callShape(this.request.method, this.request.target) ?? governed.provider.style
    const error = new PolicyBlock(judged, style)
    if (recorded && this.#record(recorded, this.request)) {
      this.#recording?.requestBody(parts)
      this.#shared.counters.refused += 1
    } else {
      recordRefusal(this.#shared, recorded ?? governed, judged.rule ?? governed.rule, error.message)
    }
    this.#supply.giveBack(this.#end('blocked', error), this.#heard)
    this.#agent.answer(error)
  }

  #requestComplete(raw: Buffer, whole: boolean): void {
    this.#requestDone = true
    this.#outgoing.finish(raw, whole)
    this.#recording?.requestEnd(this.#redacted ? undefined : this.#requestBody.trailers)
    if (!this.#recording || !this.#shared.holdBack) this.#outgoing.release()
    this.#advance()
  }

  #push(raw: Buffer): void {
    if (!this.#outgoing.push(raw)) this.#agent.pause(AGENT_PAUSED_BY.upstream)
  }

  /** Sends what may be sent by now. */
  #advance(): void {
    if (!this.#over && this.#outgoing.advance()) this.#agent.resume(AGENT_PAUSED_BY.upstream)
  }

  supplied(): void {
    this.#advance()
  }

  unsupplied(error: unknown): void {
    this.#fail(outcomeOf(error), asProxyError(error))
  }

  upstreamData(bytes: Buffer): void {
    if (this.#over) return
    this.#heard = true
    try {
      const read = this.#answer.read(bytes)
      if (read !== 'more') this.#complete(read === 'surplus')
      this.#checkRecorder()
    } catch (error) {
      this.#fail('protocol-error', unforwardable(this.#agent.governed.name, error))
    }
  }

  head(head: ResponseHead): void {
    this.#recording?.responseHead(head)
  }

  body(parts: readonly Buffer[]): void {
    if (this.#webSocket) for (const part of parts) this.#webSocket.fromProvider(part)
    else this.#recording?.responseBody(parts)
  }

  forward(raw: Buffer): void {
    if (raw.length === 0) return
    this.#answered = true
    if (!this.#agent.write(raw)) this.#outgoing.upstream?.pause(PAUSED_BY.agent)
  }

  get maySwitch(): boolean {
    return this.#requestDone && this.#outgoing.empty
  }

  switched(head: ResponseHead): void {
    if (this.#recorded && isWebSocket(this.request, head)) this.#openWebSocket(this.#recorded, head)
    this.#agent.upgraded()
  }

  /** The handshake's record ends here; each turn makes one of its own. */
  #openWebSocket(recorded: Governed, response: ResponseHead): void {
    const facts = this.#facts(this.#outgoing.upstream)
    const id = this.#recording?.id ?? recordId(now())
    this.#recording?.end({ outcome: 'complete', ...facts })
    this.#recording = undefined
    const connection = { request: this.request, response, id, facts }
    this.#webSocket = new WebSocketRelay(this.#shared, recorded, connection, {
      toProvider: (bytes) => this.#push(bytes),
      pauseAgent: (paused) => this.#agent[paused ? 'pause' : 'resume'](AGENT_PAUSED_BY.webSocket),
      pauseProvider: (paused) => this.#outgoing.upstream?.[paused ? 'pause' : 'resume'](PAUSED_BY.webSocket),
      failed: (error) => this.#fail('protocol-error', asProxyError(error)),
      unrecorded: (reason) => this.unrecorded(reason),
    })
  }

  /** @param surplus the provider sent bytes after its answer: that connection can't be trusted any more */
  #complete(surplus: boolean): void {
    const answer = this.#answer
    const response = answer.head as ResponseHead
    const sent = this.#requestDone && this.#outgoing.empty
    const persistent = persists(response) && persists(this.request) && !answer.untilClose && !this.#agentEnded
    const upstream = this.#end('complete')
    if (sent && persistent && !surplus && upstream) {
      this.#supply.release(upstream, keepAliveSeconds(response))
    } else if (sent) {
      upstream?.close()
    } else {
      upstream?.destroy()
    }
    this.#agent.finished(this.#requestDone && persistent)
  }

  upstreamEnded(): void {
    if (this.#over) return
    this.#upstreamEnded = true
    if (this.#answer.isTunnel) {
      this.#agent.end()
      if (this.#agentEnded) this.#tunnelClosed()
    } else if (this.#answer.untilClose) {
      this.#complete(false)
    } else {
      this.#gone(undefined)
    }
  }

  upstreamClosed(error: Error | undefined): void {
    if (this.#over) return
    if (this.#answer.isTunnel && !error) {
      this.#agent.end()
      this.#tunnelClosed()
    } else {
      this.#gone(error)
    }
  }

  #gone(error: Error | undefined): void {
    const { name } = this.#agent.governed
    const asked = this.#outgoing.upstream?.wantsCertificate
    const why = error ? `: ${messageOf(error)}` : ''
    if (this.#heard) {
      // A provider that stops because the agent closed its side first was not the one to break off.
      const outcome = this.#agentEnded ? 'client-aborted' : 'upstream-aborted'
      this.#fail(outcome, closed(`${name} cut its answer short${why}`))
    } else if (!this.#supply.retry()) {
      if (asked) this.#fail('upstream-aborted', certificateWanted(name, error))
      else this.#fail('upstream-aborted', closed(`${name} closed the connection without an answer${why}`))
    }
  }

  /** An upgraded connection is over, both ways. */
  #tunnelClosed(): void {
    this.#end('complete')?.close()
    this.#agent.finished(false)
  }

  upstreamDrained(): void {
    this.#agent.resume(AGENT_PAUSED_BY.upstream)
  }

  agentDrained(): void {
    this.#outgoing.upstream?.resume(PAUSED_BY.agent)
  }

  /** The agent sends no more; the provider is told so as soon as it has the request. */
  agentEnded(): void {
    if (this.#over) return
    this.#agentEnded = true
    if (this.#answer.isTunnel && this.#upstreamEnded) {
      this.#tunnelClosed()
      return
    }
    if (!this.#requestDone) {
      this.agentClosed()
      this.#agent.destroy()
      return
    }
    if (this.#webSocket) this.#webSocket.agentEnded(() => this.#outgoing.close())
    else this.#outgoing.close()
  }

  /** The agent is gone. */
  agentClosed(): void {
    if (this.#over) return
    const outcome = this.#answer.isTunnel && this.#upstreamEnded ? 'complete' : 'client-aborted'
    this.#supply.giveBack(this.#end(outcome), this.#heard)
  }

  durable(): void {
    if (this.#over) return
    this.#outgoing.release()
    this.#advance()
  }

  unrecorded(reason: string): void {
    if (this.#over) return
    if (this.#shared.policy.proxy.unrecorded === 'forward') {
      this.#forwardUnrecorded()
      return
    }
    const message = `this exchange can't be recorded, so it is not forwarded: ${reason}`
    const remedy = 'See `agent-anchor status` on this machine; try again once the recorder runs.'
    this.#fail('not-recorded', new ProxyError('recorder_unavailable', message, remedy))
  }

  /** The policy lets a call go on whose record can't be kept: counted, and no more. */
  #forwardUnrecorded(): void {
    this.#shared.counters.unrecorded += 1
    this.#recording = undefined
    this.recorderDrained()
    this.#webSocket?.goOn()
    if (!this.#requestDone) return
    this.#outgoing.release()
    this.#advance()
  }

  #checkRecorder(): void {
    if (this.#over || !(this.#recording || this.#webSocket) || !this.#shared.recorder.full) return
    this.#agent.pause(AGENT_PAUSED_BY.recorder)
    this.#outgoing.upstream?.pause(PAUSED_BY.recorder)
    this.#shared.recorder.whenDrained(this)
  }

  recorderDrained(): void {
    this.#agent.resume(AGENT_PAUSED_BY.recorder)
    this.#outgoing.upstream?.resume(PAUSED_BY.recorder)
  }

  /** A request whose body can't be read. */
  reject(error: ProxyError): void {
    this.#fail('protocol-error', error)
  }

  /** Nothing went on for too long. */
  expire(agent: Pick<Stalled, 'mayBeGone' | 'waitsFor'>): void {
    const { name } = this.#agent.governed
    const { outcome, error } = endOfPatience({ name, answering: this.#requestDone, ...agent })
    this.#fail(outcome, error)
  }

  #fail(outcome: Outcome, error: ProxyError): void {
    if (this.#over) return
    this.#shared.counters.failed += 1
    if (error.code === 'upstream_wants_certificate')
      void this.#shared.refusers.add(this.#agent.governed, now())
    const last = this.#webSocket?.closeFrame(error)
    if (last) this.#agent.write(last)
    this.#supply.giveBack(this.#end(outcome, error), this.#heard)
    if (this.#answered) this.#agent.destroy()
    else this.#agent.answer(error)
  }

  #facts(
    upstream: UpstreamConnection | undefined,
  ): Pick<EndPayload, 'upstream' | 'destinationMismatch' | 'flags'> {
    return {
      ...(upstream ? { upstream: upstream.endpoint } : {}),
      ...(this.#agent.mismatch ? { destinationMismatch: true } : {}),
      ...(upstream?.wantsCertificate ? { flags: [CERTIFICATE_WANTED] } : {}),
    }
  }

  /** Closes the record; says the connection that must be seen to. */
  #end(outcome: Outcome, error?: ProxyError): UpstreamConnection | undefined {
    const unjudged = this.#held?.stop()
    this.#held = undefined
    if (unjudged && this.#recorded && this.#record(this.#recorded, this.request)) {
      this.#recording?.requestBody(unjudged)
    }
    this.#over = true
    const upstream = this.#supply.end()
    const said = error && { code: error.code, message: error.message }
    this.#webSocket?.end(outcome, said)
    if (this.#recording) {
      const { trailers, isTunnel } = this.#answer
      const payload: EndPayload = {
        outcome,
        ...this.#facts(upstream),
        ...(said ? { error: said } : {}),
        ...(trailers === undefined ? {} : { trailers }),
        ...(isTunnel ? { upgraded: true } : {}),
      }
      this.#recording.end(payload)
    }
    this.#agent.resume(AGENT_PAUSED_BY.upstream | AGENT_PAUSED_BY.recorder)
    return upstream
  }
}
