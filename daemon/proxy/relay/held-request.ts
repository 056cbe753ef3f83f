/** An HTTP/1.1 request that waits for its verdict: its bytes as they came, and as they go out where it is redacted. */
import { Examination, examines, type RequestFacts } from '../examination/examination.ts'
import type { Judged } from '../examination/judged.ts'
import { asksForUpgrade, type Framing } from '../http/framing.ts'
import { parseRequestHead, type RequestHead } from '../http/head.ts'
import { asksForWebSocket } from '../web-socket/extensions.ts'
import type { Governed, Shared } from './facts.ts'

/** A verdict, and what was held back by then. */
export interface Released {
  readonly judged: Judged
  /** As they go out. */
  readonly head: RequestHead
  readonly raw: Buffer
  readonly parts: readonly Buffer[]
}

/** Lengths, codings and trailers of a body that is another by now. */
const OF_THE_BODY = new Set(['content-length', 'transfer-encoding', 'content-encoding', 'trailer'])

export class HeldRequest {
  readonly #request: RequestHead
  readonly #examination: Examination
  #raw: Buffer[] = []
  #parts: Buffer[] = []

  private constructor(
    shared: Shared,
    governed: Governed,
    request: RequestHead,
    framing: Framing,
    isRecorded: boolean,
    decided: (judged: Judged) => void,
  ) {
    this.#request = request
    this.#examination = new Examination(
      shared.policy,
      governed,
      factsOf(request, framing, isRecorded),
      shared.holding,
      decided,
    )
  }

  /**
   * @param isRecorded else a WebSocket's messages are not read
   * @returns undefined where the policy asks nothing of requests
   */
  static of(
    shared: Shared,
    governed: Governed,
    request: RequestHead,
    framing: Framing,
    isRecorded: boolean,
    decided: (judged: Judged) => void,
  ): HeldRequest | undefined {
    if (!examines(shared.policy)) return undefined
    return new HeldRequest(shared, governed, request, framing, isRecorded, decided)
  }

  /** The agent waits to be asked for the body (RFC 9110, 10.1.1), which the provider is not told of yet. */
  get wantsContinue(): boolean {
    const { version, fields } = this.#request
    return (
      version === '1.1' &&
      fields.some(({ name, value }) => name === 'expect' && /^100-continue$/i.test(value))
    )
  }

  /** The verdict may come at once. */
  start(): void {
    this.#examination.start()
  }

  /** @param raw as sent, the head included  @param parts of the body */
  take(raw: Buffer, parts: readonly Buffer[], whole: boolean): void {
    this.#raw.push(raw)
    this.#parts.push(...parts)
    this.#examination.more(parts)
    if (whole) this.#examination.end()
  }

  /** Nobody waits for the verdict any more. @returns what came of the body */
  stop(): readonly Buffer[] {
    this.#examination.stop()
    return this.#parts
  }

  release(judged: Judged): Released {
    if (judged.body === undefined) {
      return { judged, head: this.#request, raw: Buffer.concat(this.#raw), parts: this.#parts }
    }
    const head = withBody(this.#request, judged.body.length)
    return {
      judged,
      head: parseRequestHead(head),
      raw: Buffer.concat([head, judged.body]),
      parts: [judged.body],
    }
  }
}

function factsOf(request: RequestHead, framing: Framing, isRecorded: boolean): RequestFacts {
  const upgrade = isRecorded && asksForWebSocket(request) ? 'handshake' : 'upgrade'
  return {
    method: request.method,
    target: request.target,
    field: (name) => request.fields.filter((field) => field.name === name).map(({ value }) => value),
    length: framing.kind === 'none' ? 0 : framing.kind === 'length' ? framing.length : undefined,
    kind: asksForUpgrade(request) ? upgrade : 'request',
  }
}

/** The head with another body's length in the place of the old one's framing; all else as it was sent. */
function withBody({ startLine, fields }: RequestHead, length: number): Buffer {
  let said = false
  const lines = fields.flatMap(({ name, line }) => {
    if (!OF_THE_BODY.has(name)) return [line]
    if (said || (name !== 'content-length' && name !== 'transfer-encoding')) return []
    said = true
    return [`Content-Length: ${length}`]
  })
  return Buffer.from(`${[startLine, ...lines].join('\r\n')}\r\n\r\n`, 'latin1')
}
