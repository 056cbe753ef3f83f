/**
 * The request of an exchange: read from the agent, held until the policy's rules have judged it, recorded, and sent
 * on as it came, its last bytes once it is on disk (outgoing.ts).
 */
import type { Judged } from '../examination/judged.ts'
import { type BodyReader, bodyReader } from '../http/body.ts'
import { requestFraming } from '../http/framing.ts'
import { parseRequestHead, type RequestHead } from '../http/head.ts'
import { joined } from '../http/joined.ts'
import { AGENT_PAUSED_BY, type AgentSide } from './agent-side.ts'
import type { Governed, Shared } from './facts.ts'
import { HeldRequest } from './held-request.ts'
import { Outgoing } from './outgoing.ts'
import type { Recording } from './recording.ts'
import { whatIsRecorded } from './what-is-recorded.ts'

/** What a request needs of its exchange. */
export interface RequestHost {
  readonly over: boolean
  /** Undefined where no record is wanted, or none can be had. */
  readonly recording: Recording | undefined
  /** Opens the record and finds a connection. @param head as it goes out */
  go(recorded: Governed | undefined, head: RequestHead): void
  /** Nothing of it ever goes out. @param parts of its body, as far as it came */
  block(judged: Judged, recorded: Governed | undefined, parts: readonly Buffer[]): void
  /** Something was told to the recorder. */
  checkRecorder(): void
}

/** RFC 9110 §9.2.2, less PUT and DELETE: what they do twice may be seen. */
const REPEATABLE = new Set(['GET', 'HEAD', 'OPTIONS'])
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n')

export class RequestSide {
  readonly head: RequestHead
  readonly outgoing: Outgoing
  /** What the record is opened with; undefined where no record is wanted. */
  readonly recorded: Governed | undefined
  readonly #shared: Shared
  readonly #agent: AgentSide
  readonly #host: RequestHost
  readonly #body: BodyReader
  /** Until the policy's rules have judged it: nothing of it went anywhere. */
  #held: HeldRequest | undefined
  /** Its body went out as another: trailers of the old one did not. */
  #redacted = false
  #done = false

  /**
   * Parses and checks the head; nothing is sent anywhere yet.
   * @throws ProxyError where the request must be refused
   */
  constructor(shared: Shared, agent: AgentSide, head: Buffer, host: RequestHost) {
    this.head = parseRequestHead(head)
    this.#shared = shared
    this.#agent = agent
    this.#host = host
    this.recorded = whatIsRecorded(shared, agent.governed, this.head)
    const framing = requestFraming(this.head)
    this.#body = bodyReader(framing)
    const judged = (verdict: Judged) => this.#judged(verdict)
    const { recorded, head: request } = this
    const governed = recorded ?? agent.governed
    this.#held = HeldRequest.of(shared, governed, request, framing, recorded !== undefined, judged)
    this.outgoing = new Outgoing(REPEATABLE.has(this.head.method))
  }

  /** All of it has come. */
  get done(): boolean {
    return this.#done
  }

  /**
   * Takes the body's bytes that came with the head.
   * @param next index in `bytes` after the head
   * @returns index after the last byte that belongs to this request
   * @throws ProxyError malformed_chunk
   */
  begin(head: Buffer, bytes: Buffer, next: number): number {
    if (this.#held) this.#held.start()
    else this.#host.go(this.recorded, this.head)
    if (this.#held?.wantsContinue && next === bytes.length) this.#agent.write(CONTINUE)
    return this.#host.over ? bytes.length : this.take(bytes, next, head)
  }

  /** @param head what goes before the bytes @returns as {@link RequestSide.begin} @throws ProxyError malformed_chunk */
  take(bytes: Buffer, offset: number, head?: Buffer): number {
    const parts: Buffer[] = []
    const end = this.#body.read(bytes, offset, parts)
    const raw = joined(head, bytes, offset, end)
    if (this.#held) {
      this.#done = this.#body.done
      this.#held.take(raw, parts, this.#done)
    } else {
      this.#pass(raw, parts, head !== undefined)
    }
    return this.#host.over ? bytes.length : end
  }

  /** @param whole they begin with the head */
  #pass(raw: Buffer, parts: readonly Buffer[], whole: boolean): void {
    this.#host.recording?.requestBody(parts)
    if (this.#body.done) this.#complete(raw, whole)
    else this.push(raw)
    this.#host.checkRecorder()
  }

  /** The policy's rules have judged it: all that was held goes on, or nothing of it ever does. */
  #judged(judged: Judged): void {
    const held = this.#held
    this.#held = undefined
    if (!held || this.#host.over) return
    const { head, raw, parts } = held.release(judged)
    const { rule = this.recorded?.rule } = judged
    const recorded = this.recorded && rule ? { ...this.recorded, rule, verdict: judged } : undefined
    if (judged.action === 'block') {
      this.#host.block(judged, recorded, parts)
      return
    }
    this.#redacted = judged.body !== undefined
    this.#host.go(recorded, head)
    if (!this.#host.over && raw.length > 0) this.#pass(raw, parts, true)
  }

  #complete(raw: Buffer, whole: boolean): void {
    this.#done = true
    this.outgoing.finish(raw, whole)
    this.#host.recording?.requestEnd(this.#redacted ? undefined : this.#body.trailers)
    if (!this.#host.recording || !this.#shared.holdBack) this.outgoing.release()
    this.advance()
  }

  /** Bytes that may go out at once. */
  push(raw: Buffer): void {
    if (!this.outgoing.push(raw)) this.#agent.pause(AGENT_PAUSED_BY.upstream)
  }

  /** It is on disk, or need not be: its last bytes may go out. */
  release(): void {
    this.outgoing.release()
    this.advance()
  }

  /** Sends what may be sent by now. */
  advance(): void {
    if (!this.#host.over && this.outgoing.advance()) this.#agent.resume(AGENT_PAUSED_BY.upstream)
  }

  /** Nobody waits for a verdict any more. @returns what came of the body, where it wasn't judged yet */
  stop(): readonly Buffer[] | undefined {
    const unjudged = this.#held?.stop()
    this.#held = undefined
    return unjudged
  }
}
