/**
 * One exchange on its way to the recorder: the frames of daemon/recorder/protocol.ts, credentials replaced, bodies
 * of sign-in hosts left out.
 */
import {
  type EndPayload,
  FrameType,
  type OpenPayload,
  type RequestEndPayload,
} from '../../recorder/protocol.ts'
import { now } from '../clock.ts'
import { redactRequest, redactResponse, redactTrailers } from '../credentials/redact.ts'
import { parseTrailers, type RequestHead, type ResponseHead } from '../http/head.ts'
import { recordId } from '../record-id.ts'
import type { ExchangeListener } from '../recorder-link.ts'
import type { Governed, Shared } from './facts.ts'

export class Recording {
  readonly #shared: Shared
  readonly #exchange: number
  readonly #keepBodies: boolean

  private constructor(shared: Shared, exchange: number, keepBodies: boolean) {
    this.#shared = shared
    this.#exchange = exchange
    this.#keepBodies = keepBodies
  }

  /** Sends Open and RequestHead; undefined while the recorder can't be reached. */
  static open(
    shared: Shared,
    governed: Governed,
    head: RequestHead,
    listener: ExchangeListener,
  ): Recording | undefined {
    const exchange = shared.recorder.open(listener)
    if (exchange === undefined) return undefined
    const redacted = redactRequest(head, shared.fingerprint)
    const { provider } = governed
    const payload: OpenPayload = {
      id: recordId(now()),
      provider: provider.id,
      telemetryName: provider.telemetryName,
      style: provider.style,
      serverName: governed.name,
      agent: governed.agent,
      client: governed.client,
      originalDestination: governed.originalDestination,
      tls: governed.tls,
      policy: { hash: shared.policyHash, rule: governed.rule },
      credentials: [...redacted.credentials],
      keepBodies: provider.keepBodies,
    }
    shared.recorder.send(FrameType.Open, exchange, [json(payload)])
    shared.recorder.send(FrameType.RequestHead, exchange, [redacted.head])
    return new Recording(shared, exchange, provider.keepBodies)
  }

  requestBody(parts: readonly Buffer[]): void {
    if (this.#keepBodies && parts.length > 0)
      this.#shared.recorder.send(FrameType.RequestBody, this.#exchange, parts)
  }

  /** The listener hears `durable` or `unrecorded`. @param trailers as sent */
  requestEnd(trailers: string | undefined): void {
    const payload: RequestEndPayload = trailers === undefined ? {} : { trailers: this.#redacted(trailers) }
    this.#shared.recorder.requestEnd(this.#exchange, json(payload))
  }

  responseHead(head: ResponseHead): void {
    const redacted = redactResponse(head, this.#shared.fingerprint)
    this.#shared.recorder.send(FrameType.ResponseHead, this.#exchange, [redacted])
  }

  responseBody(parts: readonly Buffer[]): void {
    if (this.#keepBodies && parts.length > 0)
      this.#shared.recorder.send(FrameType.ResponseBody, this.#exchange, parts)
  }

  end(payload: EndPayload): void {
    const trailers = payload.trailers === undefined ? {} : { trailers: this.#redacted(payload.trailers) }
    this.#shared.recorder.end(this.#exchange, json({ ...payload, ...trailers }))
  }

  #redacted(trailers: string): string {
    return redactTrailers(parseTrailers(trailers), this.#shared.fingerprint)
  }
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
