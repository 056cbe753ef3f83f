/**
 * One exchange on its way to the recorder: the frames of daemon/recorder/protocol.ts, credentials replaced, bodies
 * of sign-in hosts left out.
 */
import {
  type EndPayload,
  FrameType,
  MAX_FRAME,
  type OpenPayload,
  type RequestEndPayload,
} from '../../recorder/protocol.ts'
import { now } from '../clock.ts'
import { handsOutKeys } from '../credentials/hands-out-keys.ts'
import {
  type AnyHead,
  type AnyRequestHead,
  redactRequest,
  redactResponse,
  redactTrailers,
} from '../credentials/redact.ts'
import { parseTrailers } from '../http/head.ts'
import { recordId } from '../record-id.ts'
import type { ExchangeListener, LevelListener } from '../recorder-link.ts'
import { type Governed, held, type Shared } from './facts.ts'

/** The provider asked for a client certificate, and the agent's own, if it has one, was not shown. */
export const CERTIFICATE_WANTED = 'client-certificate-wanted'

export class Recording {
  /** The record's. */
  readonly id: string
  readonly #shared: Shared
  readonly #governed: Governed
  readonly #exchange: number
  readonly #keepBodies: boolean
  /** As Open said it. */
  readonly #agent: string

  private constructor(
    shared: Shared,
    governed: Governed,
    exchange: number,
    { id, keepBodies }: Pick<OpenPayload, 'id' | 'keepBodies'>,
  ) {
    this.id = id
    this.#shared = shared
    this.#governed = governed
    this.#exchange = exchange
    this.#keepBodies = keepBodies
    this.#agent = JSON.stringify(governed.agent)
  }

  /**
   * Sends Open and RequestHead; undefined while the recorder can't be reached.
   * @param webSocket the turn of a WebSocket that it is
   */
  static open(
    shared: Shared,
    governed: Governed,
    head: AnyRequestHead,
    listener: ExchangeListener,
    webSocket?: OpenPayload['webSocket'],
  ): Recording | undefined {
    const exchange = shared.recorder.open(onceKnown(governed, listener))
    if (exchange === undefined) return undefined
    const redacted = redactRequest(head, shared.fingerprint)
    const { provider } = governed
    const id = recordId(now())
    const payload: OpenPayload = {
      id,
      provider: provider.id,
      telemetryName: provider.telemetryName,
      style: provider.style,
      serverName: governed.name,
      agent: governed.agent,
      client: governed.client,
      originalDestination: governed.originalDestination,
      tls: governed.tls,
      policy: {
        hash: governed.verdict?.hash ?? shared.policyHash,
        rule: governed.rule,
        ...verdictOf(governed),
      },
      credentials: [...redacted.credentials],
      keepBodies: provider.keepBodies && !isKeyExchange(head),
      ...(governed.flags === undefined ? {} : { flags: [...governed.flags] }),
      ...(webSocket === undefined ? {} : { webSocket }),
    }
    shared.recorder.send(FrameType.Open, exchange, [json(payload)])
    shared.recorder.send(FrameType.RequestHead, exchange, [redacted.head])
    return new Recording(shared, governed, exchange, payload)
  }

  requestBody(parts: readonly Buffer[]): void {
    if (!this.#keepBodies || parts.length === 0) return
    for (const frame of inFrames(parts)) {
      this.#shared.recorder.send(FrameType.RequestBody, this.#exchange, frame)
    }
  }

  /**
   * The listener hears `durable` or `unrecorded`. In a WebSocket's turn it may come again once that was heard.
   * @param trailers as sent
   */
  requestEnd(trailers: string | undefined): void {
    const payload: RequestEndPayload = trailers === undefined ? {} : { trailers: this.#redacted(trailers) }
    this.#shared.recorder.requestEnd(this.#exchange, json(payload))
  }

  responseHead(head: AnyHead): void {
    const redacted = redactResponse(head, this.#shared.fingerprint)
    this.#shared.recorder.send(FrameType.ResponseHead, this.#exchange, [redacted])
  }

  responseBody(parts: readonly Buffer[]): void {
    if (this.#keepBodies && parts.length > 0)
      this.#shared.recorder.send(FrameType.ResponseBody, this.#exchange, parts)
  }

  /** Waits a moment where the agent's process isn't known yet. @param level who holds the answer until it is recorded */
  end(payload: EndPayload, level?: LevelListener): void {
    const pending = this.#governed.owner?.pending
    const since = now()
    if (pending) pending.then(() => this.#ended({ ...payload, ...held(since) }, level))
    else this.#ended(payload, level)
  }

  #ended(payload: EndPayload, level: LevelListener | undefined): void {
    const { agent } = this.#governed
    const trailers = payload.trailers === undefined ? {} : { trailers: this.#redacted(payload.trailers) }
    const learned = JSON.stringify(agent) === this.#agent ? {} : { agent }
    const hold = level ? { hold: true } : {}
    this.#shared.recorder.end(this.#exchange, json({ ...payload, ...trailers, ...learned, ...hold }), level)
  }

  #redacted(trailers: string): string {
    return redactTrailers(parseTrailers(trailers), this.#shared.fingerprint)
  }
}

/**
 * Of an agent that the kernel said nothing of at accept (its port was translated, it runs in a container) the request goes
 * out when it is known, or when records wait no longer: until then it keeps its socket, and one that is gone isn't found.
 */
function onceKnown({ agent, owner }: Governed, listener: ExchangeListener): ExchangeListener {
  const pending = agent.uid === undefined ? owner?.pending : undefined
  if (pending === undefined) return listener
  let over = false
  return {
    durable: () => void pending.then(() => over || listener.durable()),
    unrecorded(reason) {
      over = true
      listener.unrecorded(reason)
    },
  }
}

function isKeyExchange(head: AnyRequestHead): boolean {
  if (head.startLine !== undefined) return handsOutKeys(head.method, head.target)
  const field = (wanted: string) => head.fields.find(({ name }) => name === wanted)?.value ?? ''
  return handsOutKeys(field(':method'), field(':path'))
}

/** What comes from a socket fits one frame; a request that was held back may not. */
function inFrames(parts: readonly Buffer[]): (readonly Buffer[])[] {
  if (parts.reduce((sum, { length }) => sum + length, 0) <= MAX_FRAME) return [parts]
  const bytes = Buffer.concat(parts)
  const count = Math.ceil(bytes.length / MAX_FRAME)
  return Array.from({ length: count }, (_, i) => [bytes.subarray(i * MAX_FRAME, (i + 1) * MAX_FRAME)])
}

/** What rules that were asked about the request have done, where that is more than to let it pass. */
export function verdictOf({
  verdict,
}: Pick<Governed, 'verdict'>): Pick<OpenPayload['policy'], 'verdict' | 'found' | 'unknown'> {
  if (verdict === undefined || verdict.action === 'allow') return {}
  const { action, found, unknown } = verdict
  return {
    verdict: action,
    ...(found === undefined ? {} : { found: [...found] }),
    ...(unknown === undefined ? {} : { unknown: [...unknown] }),
  }
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
