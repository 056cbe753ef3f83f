/**
 * One request and its response: the request (request-side.ts), a connection (supply.ts), the answer back (answer.ts),
 * and what the connection becomes where it leaves HTTP (upgrade.ts).
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
import { refuseForAnchoring, unholdable } from '../holding/errors.ts'
import { HeldAnswer } from '../holding/held-answer.ts'
import { keepAliveSeconds, persists } from '../http/framing.ts'
import type { RequestHead, ResponseHead } from '../http/head.ts'
import type { ProxyError } from '../proxy-error.ts'
import type { DrainListener, ExchangeListener } from '../recorder-link.ts'
import { PAUSED_BY, type UpstreamConnection } from '../upstream/connection.ts'
import { certificateWanted } from '../upstream/dial.ts'
import { AGENT_PAUSED_BY, type AgentSide } from './agent-side.ts'
import { Answer, type AnswerSink } from './answer.ts'
import { type Governed, recordRefusal, type Shared } from './facts.ts'
import { asProxyError, closed, outcomeOf, outcomeOfCut, unreadableAnswer, unrecordable } from './failure.ts'
import { CERTIFICATE_WANTED, Recording } from './recording.ts'
import { type RequestHost, RequestSide } from './request-side.ts'
import { endOfPatience, type Stalled } from './stalled.ts'
import { type Supplied, Supply } from './supply.ts'
import { Upgrade, type UpgradeHost } from './upgrade.ts'

export class Exchange
  implements Supplied, ExchangeListener, DrainListener, AnswerSink, RequestHost, UpgradeHost
{
  readonly #shared: Shared
  readonly #agent: AgentSide
  readonly #request: RequestSide
  readonly #supply: Supply
  readonly #answer: Answer
  #recording: Recording | undefined
  /** The answer, where it waits for its record to be anchored. */
  #held: HeldAnswer | undefined
  #upgrade: Upgrade | undefined
  #agentEnded = false
  #upstreamEnded = false
  /** A byte of an answer came from the provider; one went to the agent. */
  #heard = false
  #answered = false
  /** All of the answer came; the provider may take the rest of the request still. */
  #answerDone = false
  /** The provider sent bytes after its answer: that connection can't be trusted any more. */
  #surplus = false
  #over = false
  /** The connection may be used again once the answer is handed out. */
  #persistent = false

  /**
   * Parses and checks the head; nothing is sent anywhere yet.
   * @throws ProxyError where the request must be refused
   */
  constructor(shared: Shared, agent: AgentSide, head: Buffer) {
    this.#shared = shared
    this.#agent = agent
    this.#request = new RequestSide(shared, agent, head, this)
    this.#supply = new Supply(shared, agent, this.#request.outgoing, this)
    this.#answer = new Answer(
      this.#request.head,
      this,
      shared.policy.proxy.altSvc === 'strip' ? 'alt-svc' : undefined,
    )
  }

  get request(): RequestHead {
    return this.#request.head
  }

  get requestDone(): boolean {
    return this.#request.done
  }

  get recording(): Recording | undefined {
    return this.#recording
  }

  get over(): boolean {
    return this.#over
  }

  get #upstream(): UpstreamConnection | undefined {
    return this.#request.outgoing.upstream
  }

  /**
   * Opens the record, finds a connection and takes the body's bytes that came with the head.
   * @param next index in `bytes` after the head
   * @returns index after the last byte that belongs to this request
   * @throws ProxyError malformed_chunk
   */
  begin(head: Buffer, bytes: Buffer, next: number): number {
    this.#shared.counters.exchanges += 1
    return this.#request.begin(head, bytes, next)
  }

  go(recorded: Governed | undefined, head: RequestHead): void {
    const { refused } = this.#shared.recorder
    if (recorded && refused !== undefined) {
      this.#refuse(refuseForAnchoring(this.#shared, recorded, refused, this.request))
      return
    }
    if (recorded && !this.#record(recorded, head)) this.unrecorded('the recorder can’t be reached')
    if (!this.#over) this.#supply.start()
  }

  #record(recorded: Governed, head: RequestHead): boolean {
    this.#recording = Recording.open(this.#shared, recorded, head, this)
    return this.#recording !== undefined
  }

  block(judged: Judged, recorded: Governed | undefined, parts: readonly Buffer[]): void {
    const { governed } = this.#agent
    const style = callShape(this.request.method, this.request.target) ?? governed.provider.style
    const error = new PolicyBlock(judged, style)
    if (recorded && this.#record(recorded, this.request)) {
      this.#recording?.requestBody(parts)
      this.#shared.counters.refused += 1
    } else {
      recordRefusal(this.#shared, recorded ?? governed, judged.rule ?? governed.rule, error.message)
    }
    this.#refuse(error)
  }

  #refuse(error: ProxyError): void {
    this.#supply.giveBack(this.#end('blocked', error), this.#heard)
    this.#agent.answer(error)
  }

  /** More bytes from the agent; says the index after the last one that belongs here. @throws ProxyError malformed_chunk */
  more(bytes: Buffer): number {
    // The next request, while this one's answer is held.
    if (this.#over) return this.#held && this.requestDone ? 0 : bytes.length
    if (!this.#upgrade) return this.requestDone ? 0 : this.#request.take(bytes, 0)
    this.#upgrade.fromAgent(bytes)
    this.checkRecorder()
    return bytes.length
  }

  supplied(): void {
    this.#request.advance()
  }

  unsupplied(error: unknown): void {
    this.#fail(outcomeOf(error), asProxyError(error))
  }

  upstreamData(bytes: Buffer): void {
    if (this.#over) return
    this.#heard = true
    try {
      const read = this.#answer.read(bytes)
      if (read !== 'more') {
        this.#answerDone = true
        this.#surplus ||= read === 'surplus'
        // An agent may wait for its answer before it goes on: one that is held begins to count down.
        if (this.#held) this.#complete()
        else this.lookComplete()
      }
      this.checkRecorder()
    } catch (error) {
      this.#fail('protocol-error', unreadableAnswer(this.#agent.governed.name, error))
    }
  }

  head(head: ResponseHead): void {
    this.#recording?.responseHead(head)
  }

  /** From here on nothing goes to the agent before the record of it is anchored, where the settings say so. */
  #hold(): void {
    const { recorded } = this.#request
    if (!this.#shared.holds.settings || !this.#recording || !recorded) return
    this.#held = new HeldAnswer(this.#shared, recorded, this.#recording.id, {
      write: (bytes) => this.#write(bytes),
      pauseProvider: (paused) => this.#upstream?.[paused ? 'pause' : 'resume'](PAUSED_BY.holding),
      handedOut: () => this.#agent.finished(this.#persistent),
      withheld: (error) => this.#withhold(error),
    })
  }

  body(parts: readonly Buffer[]): void {
    if (this.#upgrade) this.#upgrade.fromProvider(parts)
    else this.#recording?.responseBody(parts)
  }

  forward(raw: Buffer): void {
    if (raw.length === 0) return
    if (!this.#held && this.#answer.head) this.#hold()
    if (this.#held) this.#held.push(raw)
    else if (!this.#upgrade?.holds) this.#write(raw)
  }

  toAgent(bytes: Buffer): void {
    this.#write(bytes)
  }

  #write(raw: Buffer): void {
    this.#answered = true
    if (!this.#agent.write(raw)) this.#upstream?.pause(PAUSED_BY.agent)
  }

  get maySwitch(): boolean {
    return this.requestDone && this.#request.outgoing.empty
  }

  switched(head: ResponseHead): void {
    this.#upgrade = new Upgrade(this.#shared, this.#agent, this.#request, head, this)
    if (this.#upgrade.isRecorded) this.#recording = undefined
    else if (this.#recording && this.#shared.holds.settings) throw unholdable(this.#agent.governed.name)
    this.#agent.upgraded()
  }

  failed(error: unknown): void {
    const known = asProxyError(error)
    this.#fail(outcomeOfCut(known), known)
  }

  /** Both came to their end: a provider that answers early takes what still comes of the request, or closes. */
  lookComplete(): void {
    if (!this.#over && this.#answerDone && this.maySwitch) this.#complete()
  }

  #complete(): void {
    const answer = this.#answer
    const response = answer.head as ResponseHead
    const sent = this.maySwitch
    const ended = answer.untilClose || this.#agentEnded || this.#upstreamEnded
    const persistent = persists(response) && persists(this.request) && !ended
    const upstream = this.#end('complete')
    if (sent && persistent && !this.#surplus && upstream) {
      this.#supply.release(upstream, keepAliveSeconds(response))
    } else if (sent) {
      upstream?.close()
    } else {
      upstream?.destroy()
    }
    this.#persistent = this.requestDone && persistent
    if (this.#held) this.#held.whole()
    else this.#agent.finished(this.#persistent)
  }

  /** The record of it could not be anchored in time: the provider's answer stays here. */
  #withhold(error: ProxyError): void {
    this.#held = undefined
    if (!this.#over) {
      this.#fail('blocked', error)
      return
    }
    this.#shared.counters.failed += 1
    if (this.#answered) this.#agent.destroy()
    else this.#agent.answer(error)
  }

  upstreamEnded(): void {
    if (this.#over) return
    if (this.#answer.isTunnel) {
      this.#upstreamEnded = true
      this.#upgrade?.providerEnded(() => {
        this.#agent.end()
        if (this.#agentEnded) this.#bothEnded()
      })
    } else if (this.#answerDone || this.#answer.untilClose) {
      this.#upstreamEnded = true
      this.#answerDone = true
      // It may read on what is still to come.
      if (this.#held || this.maySwitch) this.#complete()
      else this.#agent.end()
    } else {
      this.#gone(undefined)
    }
  }

  upstreamClosed(error: Error | undefined): void {
    if (this.#over) return
    if (this.#answer.isTunnel && !error) {
      this.#upgrade?.providerEnded(() => {
        this.#agent.end()
        this.#tunnelClosed()
      })
    } else if (this.#answerDone) {
      this.#complete()
    } else {
      this.#gone(error)
    }
  }

  #gone(error: Error | undefined): void {
    const { name } = this.#agent.governed
    const asked = this.#upstream?.wantsCertificate
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

  /** What the agent said last may wait for the disk, and the provider read on although it says no more. */
  #bothEnded(): void {
    this.#upgrade?.agentEnded(() => this.#tunnelClosed())
  }

  /** An upgraded connection is over, both ways. */
  #tunnelClosed(): void {
    if (this.#over) return
    this.#end('complete')?.close()
    this.#agent.finished(false)
  }

  upstreamDrained(): void {
    this.#agent.resume(AGENT_PAUSED_BY.upstream)
  }

  agentDrained(): void {
    this.#upstream?.resume(PAUSED_BY.agent)
  }

  /** The agent sends no more; the provider is told so as soon as it has the request. */
  agentEnded(): void {
    if (this.#over) return
    this.#agentEnded = true
    if (this.#upgrade && this.#upstreamEnded) {
      this.#bothEnded()
      return
    }
    if (!this.requestDone) {
      this.agentClosed()
      this.#agent.destroy()
      return
    }
    const { outgoing } = this.#request
    if (this.#upgrade) this.#upgrade.agentEnded(() => outgoing.close())
    else outgoing.close()
  }

  /** The agent is gone. */
  agentClosed(): void {
    this.#held?.abandon()
    // Where both have ended what it said last is on its way.
    if (this.#over || (this.#upgrade && this.#agentEnded && this.#upstreamEnded)) return
    const whole = this.#answerDone || (this.#answer.isTunnel && this.#upstreamEnded)
    const outcome = whole ? 'complete' : 'client-aborted'
    this.#supply.giveBack(this.#end(outcome), this.#heard)
  }

  durable(): void {
    if (this.#over) return
    this.#request.release()
    this.lookComplete()
  }

  unrecorded(reason: string): void {
    if (this.#over) return
    if (this.#shared.policy.proxy.unrecorded === 'forward') {
      this.#forwardUnrecorded()
      return
    }
    this.#fail('not-recorded', unrecordable(reason))
  }

  /** The policy lets a call go on whose record can't be kept: counted, and no more. */
  #forwardUnrecorded(): void {
    this.#shared.counters.unrecorded += 1
    this.#recording = undefined
    this.#held?.letGo()
    this.#held = undefined
    this.recorderDrained()
    this.#upgrade?.goOn()
    if (this.requestDone) this.#request.release()
    this.lookComplete()
  }

  checkRecorder(): void {
    const recorded = this.#recording !== undefined || this.#upgrade?.isRecorded
    if (this.#over || !recorded || !this.#shared.recorder.full) return
    this.#agent.pause(AGENT_PAUSED_BY.recorder)
    this.#upstream?.pause(PAUSED_BY.recorder)
    this.#shared.recorder.whenDrained(this)
  }

  recorderDrained(): void {
    this.#agent.resume(AGENT_PAUSED_BY.recorder)
    this.#upstream?.resume(PAUSED_BY.recorder)
  }

  /** What can't be read, or may not go on. */
  reject(error: ProxyError): void {
    this.#fail(outcomeOfCut(error), error)
  }

  /** Nothing went on for too long. */
  expire(agent: Pick<Stalled, 'mayBeGone' | 'waitsFor'>): void {
    if (this.#answerDone) {
      this.#complete()
      return
    }
    const { name } = this.#agent.governed
    const { outcome, error } = endOfPatience({ name, answering: this.requestDone, ...agent })
    this.#fail(outcome, error)
  }

  #fail(outcome: Outcome, error: ProxyError): void {
    if (this.#over) return
    this.#shared.counters.failed += 1
    if (error.code === 'upstream_wants_certificate')
      void this.#shared.refusers.add(this.#agent.governed, now())
    const last = this.#upgrade?.lastWords(error)
    if (last) this.#agent.write(last)
    this.#supply.giveBack(this.#end(outcome, error), this.#heard)
    this.#held?.drop()
    if (!this.#answered) this.#agent.answer(error)
    else if (this.#answer.untilClose) this.#agent.reset()
    else this.#agent.destroy()
  }

  get facts(): Pick<EndPayload, 'upstream' | 'destinationMismatch' | 'flags'> {
    const upstream = this.#upstream
    return {
      ...(upstream ? { upstream: upstream.endpoint } : {}),
      ...(this.#agent.mismatch ? { destinationMismatch: true } : {}),
      ...(upstream?.wantsCertificate ? { flags: [CERTIFICATE_WANTED] } : {}),
    }
  }

  /** Closes the record; says the connection that must be seen to. */
  #end(outcome: Outcome, error?: ProxyError): UpstreamConnection | undefined {
    const { recorded } = this.#request
    const unjudged = this.#request.stop()
    if (unjudged && recorded && this.#record(recorded, this.request)) this.#recording?.requestBody(unjudged)
    this.#over = true
    const { facts } = this
    const upstream = this.#supply.end()
    const said = error && { code: error.code, message: error.message }
    this.#upgrade?.end(outcome, said)
    if (this.#recording) {
      const { trailers, isTunnel } = this.#answer
      const payload: EndPayload = {
        outcome,
        ...facts,
        ...(said ? { error: said } : {}),
        ...(trailers === undefined ? {} : { trailers }),
        ...(isTunnel ? { upgraded: true } : {}),
      }
      this.#recording.end(payload, outcome === 'complete' ? this.#held?.listener : undefined)
    }
    this.#agent.resume(AGENT_PAUSED_BY.upstream | AGENT_PAUSED_BY.recorder)
    return upstream
  }
}
