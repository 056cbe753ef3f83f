/**
 * One request and its response: read from the agent, recorded, held back until it is on disk, forwarded as it
 * came; and the answer back.
 *
 * What may go wrong ends in exactly one of: `complete`, `#fail` (the gateway answers where nothing was answered
 * yet, else cuts), or the agent's going away. Each tells the recorder once.
 */
import { governsTarget } from '../../../policies/governed-path.ts'
import { messageOf } from '../../base/errors.ts'
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
import { type BodyReader, bodyReader } from '../http/body.ts'
import {
  asksForUpgrade,
  checkTarget,
  keepAliveSeconds,
  persists,
  requestFraming,
  responseFraming,
} from '../http/framing.ts'
import {
  HeadReader,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from '../http/head.ts'
import { joined } from '../http/joined.ts'
import { ProxyError } from '../proxy-error.ts'
import type { ExchangeListener } from '../recorder-link.ts'
import { PAUSED_BY, type UpstreamConnection, type UpstreamUser } from '../upstream/connection.ts'
import { AGENT_PAUSED_BY, type AgentSide } from './agent-side.ts'
import type { Shared } from './facts.ts'
import { asProxyError, closed, outcomeOf } from './failure.ts'
import { Recording } from './recording.ts'

/** RFC 9110 §9.2.2, less PUT and DELETE: what they do twice may be seen. */
const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS'])
const MAX_REPLAY = 64 * 1024

export class Exchange implements UpstreamUser, ExchangeListener {
  readonly head: RequestHead
  readonly #shared: Shared
  readonly #agent: AgentSide
  readonly #requestBody: BodyReader
  readonly #recorded: boolean
  #recording: Recording | undefined
  #requestDone = false
  #durable = false
  /** Request bytes that wait for a connection. */
  #queue: Buffer[] = []
  /** The request's last bytes, which wait for Durable. */
  #held: Buffer | undefined
  /** A whole request that may be sent again. */
  #replay: Buffer | undefined
  #agentEnded = false
  #upstream: UpstreamConnection | undefined
  #upstreamEnded = false
  #retried = false
  readonly #responseReader = new HeadReader('HTTP/1.')
  #response: ResponseHead | undefined
  #responseBody: BodyReader | undefined
  #untilClose = false
  /** A byte of an answer came from the provider; one went to the agent. */
  #heard = false
  #answered = false
  #tunnel = false
  #over = false

  /**
   * Parses and checks the head; nothing is sent anywhere yet.
   * @throws ProxyError where the request must be refused
   */
  constructor(shared: Shared, agent: AgentSide, head: Buffer) {
    this.head = parseRequestHead(head)
    this.#shared = shared
    this.#agent = agent
    const target = checkTarget(this.head, agent.governed.name)
    this.#requestBody = bodyReader(requestFraming(this.head))
    this.#recorded = governsTarget(agent.governed.provider, target)
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
    if (this.#recorded) {
      this.#recording = Recording.open(this.#shared, this.#agent.governed, this.head, this)
      if (!this.#recording) {
        this.unrecorded('the recorder can’t be reached')
        return bytes.length
      }
    }
    const idle = this.#shared.providers.take(this.#agent.key)
    if (idle) this.#attach(idle)
    else this.#dial()
    return this.#take(bytes, next, head)
  }

  /** More bytes from the agent; says the index after the last one that belongs here. @throws ProxyError malformed_chunk */
  request(bytes: Buffer): number {
    if (this.#over) return bytes.length
    if (this.#tunnel) {
      this.#recording?.requestBody([bytes])
      this.#forward(bytes)
      this.#checkRecorder()
      return bytes.length
    }
    return this.#requestDone ? 0 : this.#take(bytes, 0)
  }

  #take(bytes: Buffer, offset: number, head?: Buffer): number {
    const parts: Buffer[] = []
    const end = this.#requestBody.read(bytes, offset, parts)
    this.#recording?.requestBody(parts)
    const raw = joined(head, bytes, offset, end)
    if (this.#requestBody.done) this.#requestComplete(raw, head !== undefined)
    else this.#forward(raw)
    this.#checkRecorder()
    return end
  }

  #requestComplete(raw: Buffer, whole: boolean): void {
    this.#requestDone = true
    this.#held = raw
    if (whole && raw.length <= MAX_REPLAY && REPEATABLE.has(this.head.method)) this.#replay = raw
    this.#recording?.requestEnd(this.#requestBody.trailers)
    if (!this.#recording || !this.#shared.holdBack) this.#durable = true
    this.#advance()
  }

  #forward(raw: Buffer): void {
    if (raw.length === 0) return
    if (!this.#upstream) {
      this.#queue.push(raw)
      this.#agent.pause(AGENT_PAUSED_BY.upstream)
    } else if (!this.#upstream.write(raw)) {
      this.#agent.pause(AGENT_PAUSED_BY.upstream)
    }
  }

  /** Sends what may be sent by now. */
  #advance(): void {
    const upstream = this.#upstream
    if (!upstream || this.#over) return
    let room = true
    for (const raw of this.#queue) room = upstream.write(raw)
    if (this.#queue.length > 0) this.#queue = []
    if (this.#held && this.#durable) {
      room = upstream.write(this.#held)
      this.#held = undefined
      if (this.#agentEnded) upstream.end()
    }
    if (room) this.#agent.resume(AGENT_PAUSED_BY.upstream)
  }

  #dial(): void {
    this.#agent.dial().then(
      (connection) => this.#attach(connection),
      (error: unknown) => this.#fail(outcomeOf(error), asProxyError(error)),
    )
  }

  #attach(connection: UpstreamConnection): void {
    if (this.#over) {
      this.#shared.providers.release(this.#agent.key, connection)
      return
    }
    this.#upstream = connection
    connection.user = this
    if (connection.usable) this.#advance()
    else this.#upstreamLost(undefined)
  }

  /** Gone before it answered: tried once more where nothing can have been done with the request. */
  #upstreamLost(error: Error | undefined): void {
    const upstream = this.#upstream
    const unsent = upstream?.sent === 0
    const repeatable = upstream?.reused === true && this.#replay !== undefined
    if (!this.#retried && !this.#heard && (unsent || repeatable)) {
      this.#retried = true
      upstream?.destroy()
      this.#upstream = undefined
      if (!unsent) this.#held = this.#replay
      this.#dial()
      return
    }
    const why = error ? `: ${messageOf(error)}` : ''
    this.#fail(
      'upstream-aborted',
      closed(`${this.#agent.governed.name} closed the connection without an answer${why}`),
    )
  }

  upstreamData(bytes: Buffer): void {
    if (this.#over) return
    this.#heard = true
    try {
      if (this.#tunnel) this.#tunnelled(bytes)
      else if (this.#responseBody) this.#answer(bytes, 0)
      else this.#answerHead(bytes)
      this.#checkRecorder()
    } catch (error) {
      const reason = `the answer of ${this.#agent.governed.name} can't be forwarded: ${messageOf(error)}`
      this.#fail(
        'protocol-error',
        new ProxyError('upstream_protocol_error', reason, 'Tell the provider.', error),
      )
    }
  }

  #answerHead(bytes: Buffer): void {
    let at = 0
    for (
      let found = this.#responseReader.read(bytes, at);
      found;
      found = this.#responseReader.read(bytes, at)
    ) {
      const head = parseResponseHead(found.head)
      this.#recording?.responseHead(head)
      if (head.status >= 200) {
        const framing = responseFraming(head, this.head.method)
        this.#response = head
        this.#responseBody = bodyReader(framing)
        this.#untilClose = framing.kind === 'until-close'
        this.#answer(bytes, found.next, found.head)
        return
      }
      this.#toAgent(found.head)
      at = found.next
      if (head.status === 101) {
        this.#upgrade(bytes.subarray(at))
        return
      }
      if (at === bytes.length) return
    }
  }

  #answer(bytes: Buffer, offset: number, head?: Buffer): void {
    const body = this.#responseBody as BodyReader
    const parts: Buffer[] = []
    const end = body.read(bytes, offset, parts)
    this.#recording?.responseBody(parts)
    this.#toAgent(joined(head, bytes, offset, end))
    if (body.done) this.#complete(end < bytes.length)
  }

  #toAgent(raw: Buffer): void {
    if (raw.length === 0) return
    this.#answered = true
    if (!this.#agent.write(raw)) this.#upstream?.pause(PAUSED_BY.agent)
  }

  /** @param surplus the provider sent bytes after its answer: that connection can't be trusted any more */
  #complete(surplus: boolean): void {
    const response = this.#response as ResponseHead
    const sent = this.#requestDone && this.#held === undefined && this.#queue.length === 0
    const persistent = persists(response) && persists(this.head) && !this.#untilClose && !this.#agentEnded
    const upstream = this.#end('complete')
    if (sent && persistent && !surplus && upstream) {
      const seconds = keepAliveSeconds(response)
      const limit = seconds === undefined ? undefined : seconds * 1000
      this.#shared.providers.release(this.#agent.key, upstream, limit)
    } else if (sent) {
      upstream?.close()
    } else {
      upstream?.destroy()
    }
    this.#agent.finished(this.#requestDone && persistent)
  }

  #upgrade(rest: Buffer): void {
    if (!this.#requestDone || this.#held || !asksForUpgrade(this.head)) {
      throw new ProxyError('unexpected_upgrade', 'it switches protocols unasked', 'Tell the provider.')
    }
    this.#tunnel = true
    this.#agent.upgraded()
    if (rest.length > 0) this.#tunnelled(rest)
  }

  #tunnelled(bytes: Buffer): void {
    this.#recording?.responseBody([bytes])
    this.#toAgent(bytes)
  }

  upstreamEnded(): void {
    if (this.#over) return
    this.#upstreamEnded = true
    if (this.#tunnel) {
      this.#agent.end()
      if (this.#agentEnded) this.#tunnelClosed()
    } else if (this.#untilClose) {
      this.#complete(false)
    } else {
      this.#gone(undefined)
    }
  }

  upstreamClosed(error: Error | undefined): void {
    if (this.#over) return
    if (this.#tunnel && !error) {
      this.#agent.end()
      this.#tunnelClosed()
    } else {
      this.#gone(error)
    }
  }

  #gone(error: Error | undefined): void {
    if (!this.#answered && !this.#heard) {
      this.#upstreamLost(error)
      return
    }
    const why = error ? `: ${messageOf(error)}` : ''
    // A provider that stops because the agent closed its side first was not the one to break off.
    const outcome = this.#agentEnded ? 'client-aborted' : 'upstream-aborted'
    this.#fail(outcome, closed(`${this.#agent.governed.name} cut its answer short${why}`))
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
    this.#upstream?.resume(PAUSED_BY.agent)
  }

  /** The agent sends no more; the provider is told so as soon as it has the request. */
  agentEnded(): void {
    if (this.#over) return
    this.#agentEnded = true
    if (this.#tunnel && this.#upstreamEnded) {
      this.#tunnelClosed()
      return
    }
    if (!this.#requestDone) {
      this.agentClosed()
      this.#agent.destroy()
      return
    }
    if (this.#upstream && !this.#held && this.#queue.length === 0) this.#upstream.end()
  }

  /** The agent is gone. */
  agentClosed(): void {
    if (this.#over) return
    const outcome = this.#tunnel && this.#upstreamEnded ? 'complete' : 'client-aborted'
    this.#giveBack(this.#end(outcome))
  }

  durable(): void {
    if (this.#over) return
    this.#durable = true
    this.#advance()
  }

  unrecorded(reason: string): void {
    const message = `this exchange can't be recorded, so it is not forwarded: ${reason}`
    const remedy = 'See `agent-anchor status` on this machine; try again once the recorder runs.'
    this.#fail('not-recorded', new ProxyError('recorder_unavailable', message, remedy))
  }

  #checkRecorder(): void {
    if (this.#over || !this.#recording || !this.#shared.recorder.full) return
    this.#agent.pause(AGENT_PAUSED_BY.recorder)
    this.#upstream?.pause(PAUSED_BY.recorder)
    this.#shared.recorder.whenDrained(this)
  }

  recorderDrained(): void {
    this.#agent.resume(AGENT_PAUSED_BY.recorder)
    this.#upstream?.resume(PAUSED_BY.recorder)
  }

  /** A request whose body can't be read. */
  reject(error: ProxyError): void {
    this.#fail('protocol-error', error)
  }

  #fail(outcome: Outcome, error: ProxyError): void {
    if (this.#over) return
    this.#shared.counters.failed += 1
    this.#giveBack(this.#end(outcome, error))
    if (this.#answered) this.#agent.destroy()
    else this.#agent.answer(error)
  }

  /** Closes the record; says the connection that must be seen to. */
  #end(outcome: Outcome, error?: ProxyError): UpstreamConnection | undefined {
    const upstream = this.#upstream
    this.#over = true
    this.#upstream = undefined
    this.#queue = []
    this.#held = undefined
    this.#replay = undefined
    if (this.#recording) {
      const trailers = this.#responseBody?.trailers
      const payload: EndPayload = {
        outcome,
        ...(upstream ? { upstream: upstream.endpoint } : {}),
        ...(this.#agent.mismatch ? { destinationMismatch: true } : {}),
        ...(error ? { error: { code: error.code, message: error.message } } : {}),
        ...(trailers === undefined ? {} : { trailers }),
        ...(this.#tunnel ? { upgraded: true } : {}),
      }
      this.#recording.end(payload)
    }
    this.#agent.resume(AGENT_PAUSED_BY.upstream | AGENT_PAUSED_BY.recorder)
    return upstream
  }

  /** A connection that nothing was sent on is as good as new; any other is in the middle of something. */
  #giveBack(upstream: UpstreamConnection | undefined): void {
    if (!upstream) return
    if (upstream.sent === 0 && !this.#heard) this.#shared.providers.release(this.#agent.key, upstream)
    else upstream.destroy()
  }
}
