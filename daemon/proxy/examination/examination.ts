/**
 * One request under the rules of the policy that ask about requests (policies/exchange-rules.ts), whatever protocol it
 * comes by. Nothing of it may go out before the verdict: who holds the bytes back is the caller.
 *
 * Threat model: the request is the agent's. What is kept of it is bounded, each and all together; beyond that, and where
 * a body can't be decoded, the rule decides as one that can't be judged, and blocks.
 */
import type { BodyFacts, ExchangeFacts } from '../../../policies/exchange-facts.ts'
import { asksOfRequests, judgeRequest, type Verdict } from '../../../policies/exchange-rules.ts'
import type { Policy } from '../../../policies/policy.ts'
import { BodyContent } from '../../../policies/request-content.ts'
import { type AskedByHead, askedByHead, methodOverrides } from '../../recorder/derive/asked-by-head.ts'
import type { Governed } from '../relay/facts.ts'
import { codingsOf, decoded } from './decoded.ts'
import { type Holding, type Judged, weightOf } from './judged.ts'
import { unreadMessages } from './message-frames.ts'

/** Longest body that is judged, as sent and decoded; SDKs and providers stop at 32 MB at most. */
export const MAX_EXAMINED = 16 << 20
/** What one request may take, where it comes in small pieces; a piece of 512 bytes takes twice that. */
const MAX_WEIGHT = 2 * MAX_EXAMINED
/** What all requests of a worker that wait for their verdict may keep together. */
export const MAX_HELD = 128 << 20

/** Conditions on it. */
const OF_THE_BODY = new Set(['models', 'tools', 'content', 'largerThan'])

/** A request's head, whatever protocol it came by. */
export interface RequestFacts {
  readonly method: string
  /** Path and query, as sent. */
  readonly target: string
  /** Values of a header field by its lower-case name, in the order sent. */
  field(name: string): readonly string[]
  /** Bytes of its body, where that is known; 0 where it has none. */
  readonly length?: number | undefined
  /**
   * `upgrade` asks to leave HTTP for something that isn't read here; `handshake` for a WebSocket, each `message` of which
   * is judged by itself.
   */
  readonly kind: 'request' | 'upgrade' | 'handshake' | 'message'
  /** Of a message: the model that one before it named. */
  readonly model?: string | undefined
}

/** Does the policy ask anything of requests? Where it doesn't, they go on without any of this. */
export const examines = (policy: Policy): boolean => asksOfRequests(policy)

export class Examination {
  readonly #policy: Policy
  readonly #governed: Governed
  readonly #request: RequestFacts
  readonly #holding: Holding
  readonly #decided: (judged: Judged) => void
  readonly #asked: AskedByHead
  #parts: Buffer[] = []
  #size = 0
  #weight = 0
  #body: BodyFacts
  #over = false
  #asksAgain = false

  /** @param decided called once, perhaps within `start`, `more` or `end`; never after `stop` */
  constructor(
    policy: Policy,
    governed: Governed,
    request: RequestFacts,
    holding: Holding,
    decided: (judged: Judged) => void,
  ) {
    this.#policy = policy
    this.#governed = governed
    this.#request = request
    this.#holding = holding
    this.#decided = decided
    const { method, target, kind, model } = request
    const isWebSocket = kind === 'handshake' || kind === 'message'
    this.#asked = askedByHead(method, target, governed.provider.style, isWebSocket, model)
    this.#body =
      request.kind === 'upgrade'
        ? { state: 'unreadable', why: 'what follows an upgrade', size: 0, whole: false }
        : { state: 'awaited', declared: request.kind === 'request' ? request.length : undefined }
  }

  start(): void {
    if (this.#request.length !== undefined && this.#request.length > MAX_EXAMINED)
      this.#tooLong(this.#request.length)
    this.#judge()
  }

  /** Bytes of the body, transfer coding removed. */
  more(parts: readonly Buffer[]): void {
    if (this.#over || this.#body.state !== 'awaited') return
    for (const part of parts) {
      this.#parts.push(part)
      this.#size += part.length
      this.#weight += weightOf(part)
      this.#holding.bytes += weightOf(part)
    }
    const { bytes } = this.#holding
    const fits = this.#size <= MAX_EXAMINED && this.#weight <= MAX_WEIGHT
    if (fits && bytes <= MAX_HELD) return
    this.#tooLong(this.#size, fits ? 'too much that waits to be looked into' : undefined)
    this.#judge()
  }

  /** The body is whole. */
  end(): void {
    if (this.#over || this.#body.state !== 'awaited') return
    const bytes = Buffer.concat(this.#parts)
    const codings = codingsOf(this.#request.field('content-encoding'))
    if (codings.length === 0 || bytes.length === 0) this.#read(bytes)
    else void decoded(bytes, codings, MAX_EXAMINED).then((plain) => this.#read(plain))
  }

  /** Nobody waits for a verdict any more. */
  stop(): void {
    if (this.#over) return
    this.#over = true
    this.#holding.bytes -= this.#weight
    this.#parts = []
  }

  #tooLong(size: number, why = `a body above ${MAX_EXAMINED >> 20} MiB`): void {
    this.#body = { state: 'unreadable', why, size, whole: false }
  }

  #read(plain: Buffer | { readonly unreadable: string }): void {
    if (this.#over) return
    const [type = ''] = this.#request.field('content-type')
    const why = Buffer.isBuffer(plain) ? unreadMessages(type, plain) : plain.unreadable
    this.#body =
      Buffer.isBuffer(plain) && why === undefined
        ? { state: 'read', size: this.#size, content: new BodyContent(plain) }
        : { state: 'unreadable', why: why ?? '', size: this.#size, whole: true }
    this.#judge()
  }

  #judge(): void {
    if (this.#over) return
    const verdict = judgeRequest(this.#policy, this.#facts())
    if (!('wait' in verdict)) {
      this.stop()
      this.#decided(this.#judged(verdict))
      return
    }
    if (verdict.wait === 'body' && this.#request.kind === 'handshake') {
      this.stop()
      this.#decided({ action: 'allow', hash: this.#policy.hash, undecided: true })
      return
    }
    const pending = this.#governed.owner?.pending
    if (this.#asksAgain || !pending) return
    this.#asksAgain = true
    pending.then(() => this.#judge())
  }

  #facts(): ExchangeFacts {
    const { name, provider, originalDestination, agent, owner } = this.#governed
    return {
      name,
      provider: provider.id,
      ...originalDestination,
      agent,
      agentPending: owner?.pending !== undefined,
      method: this.#request.method,
      overrides: methodOverrides((name) => this.#request.field(name)),
      target: this.#request.target,
      ...this.#asked,
      body: this.#body,
      fixed: isSigned(this.#request) ? 'it is signed' : undefined,
    }
  }

  #modelNamed(): string | undefined {
    if (this.#request.kind !== 'message' || this.#body.state !== 'read') return undefined
    return [...this.#body.content.models()].at(-1)
  }

  /** Why the body can't be looked into, where that is what could not be told. */
  #unreadable(unknown: readonly string[]): string[] {
    const ofBody = unknown.some((key) => OF_THE_BODY.has(key))
    return ofBody && this.#body.state === 'unreadable' ? [this.#body.why] : []
  }

  #judged({ action, rule, ofExchange, found, unknown }: Verdict): Judged {
    const { name, hash } = this.#policy
    const named =
      rule !== undefined && (ofExchange || action !== 'allow')
        ? { rule: `${name}/traffic/${rule}` }
        : action === 'block'
          ? { rule: `${name}/traffic-default` }
          : {}
    const model = this.#modelNamed()
    const facts = {
      ...(found && { found }),
      ...(unknown && { unknown: [...unknown, ...this.#unreadable(unknown)] }),
      ...(model !== undefined && { model }),
    }
    if (action !== 'redact' || this.#body.state !== 'read') return { action, hash, ...named, ...facts }
    const { content = [] } = this.#policy.traffic.rules.find((each) => each.name === rule) ?? {}
    const { text } = this.#body.content.redacted(this.#policy.detectors, content)
    return { action, hash, ...named, ...facts, body: Buffer.from(text) }
  }
}

/** AWS's signature covers the body, in a header or the query (SigV4); digests of it are as good as signed. */
function isSigned(request: RequestFacts): boolean {
  return (
    request.field('authorization').some((value) => /^AWS4-/i.test(value)) ||
    /[?&]X-Amz-Signature=/i.test(request.target) ||
    ['content-md5', 'digest', 'content-digest', 'repr-digest', 'signature'].some(
      (name) => request.field(name).length > 0,
    )
  )
}
