/** A provider's answer to one request, read as it comes and passed on as it came. */
import { type BodyReader, bodyReader } from '../http/body.ts'
import { asksForUpgrade, responseFraming } from '../http/framing.ts'
import { HeadReader, parseResponseHead, type RequestHead, type ResponseHead } from '../http/head.ts'
import { joined } from '../http/joined.ts'
import { withoutField } from '../http/without-field.ts'
import { ProxyError } from '../proxy-error.ts'

/**
 * Where an answer's parts go: `head` and `body` to the record, `forward` to the agent. The agent comes first: it
 * must not wait for what the record costs.
 */
export interface AnswerSink {
  head(head: ResponseHead): void
  body(parts: readonly Buffer[]): void
  forward(raw: Buffer): void
  /** The connection left HTTP with this head (101); `body` and `forward` get what comes now. */
  switched(head: ResponseHead): void
  /** May the provider take up the agent's offer to leave HTTP by now? */
  readonly maySwitch: boolean
}

export class Answer {
  readonly #request: RequestHead
  readonly #sink: AnswerSink
  readonly #hide: string | undefined
  readonly #reader = new HeadReader('HTTP/1.')
  #head: ResponseHead | undefined
  #body: BodyReader | undefined
  #untilClose = false
  #switched = false

  /** @param hide lower-case name of a header field that the agent isn't shown */
  constructor(request: RequestHead, sink: AnswerSink, hide: string | undefined) {
    this.#request = request
    this.#sink = sink
    this.#hide = hide
  }

  /** The final head, once it came. */
  get head(): ResponseHead | undefined {
    return this.#head
  }

  /** Its end is the connection's. */
  get untilClose(): boolean {
    return this.#untilClose
  }

  /** What comes is no HTTP any more, both ways. */
  get isTunnel(): boolean {
    return this.#switched
  }

  get trailers(): string | undefined {
    return this.#body?.trailers
  }

  /**
   * @returns `surplus` where bytes came after its end: that connection can't be trusted any more
   * @throws ProxyError where it can't be forwarded
   */
  read(bytes: Buffer): 'more' | 'complete' | 'surplus' {
    if (this.#switched) return this.#tunnelled(bytes)
    return this.#body ? this.#readBody(this.#body, bytes, 0) : this.#readHeads(bytes)
  }

  #readHeads(bytes: Buffer): 'more' | 'complete' | 'surplus' {
    let at = 0
    for (let found = this.#reader.read(bytes, at); found; found = this.#reader.read(bytes, at)) {
      const head = parseResponseHead(found.head)
      const shown = this.#hide === undefined ? found.head : withoutField(found.head, head, this.#hide)
      if (head.status >= 200) return this.#final(head, bytes, found.next, shown)
      this.#sink.forward(shown)
      this.#sink.head(head)
      at = found.next
      if (head.status === 101) return this.#switch(head, bytes.subarray(at))
      if (at === bytes.length) break
    }
    return 'more'
  }

  /** @param shown the head as the agent is shown it: it goes out together with what follows it */
  #final(head: ResponseHead, bytes: Buffer, next: number, shown: Buffer) {
    const framing = responseFraming(head, this.#request.method)
    const body = bodyReader(framing)
    this.#head = head
    this.#body = body
    this.#untilClose = framing.kind === 'until-close'
    const parts: Buffer[] = []
    const end = body.read(bytes, next, parts)
    this.#sink.forward(joined(shown, bytes, next, end))
    this.#sink.head(head)
    return this.#bodyRead(body, parts, end < bytes.length)
  }

  #readBody(body: BodyReader, bytes: Buffer, offset: number) {
    const parts: Buffer[] = []
    const end = body.read(bytes, offset, parts)
    this.#sink.forward(joined(undefined, bytes, offset, end))
    return this.#bodyRead(body, parts, end < bytes.length)
  }

  #bodyRead(body: BodyReader, parts: readonly Buffer[], left: boolean) {
    this.#sink.body(parts)
    if (!body.done) return 'more'
    return left ? 'surplus' : 'complete'
  }

  #switch(head: ResponseHead, rest: Buffer): 'more' {
    if (!this.#sink.maySwitch || !asksForUpgrade(this.#request)) {
      throw new ProxyError('unexpected_upgrade', 'it switches protocols unasked', 'Tell the provider.')
    }
    this.#switched = true
    this.#sink.switched(head)
    return rest.length > 0 ? this.#tunnelled(rest) : 'more'
  }

  #tunnelled(bytes: Buffer): 'more' {
    this.#sink.body([bytes])
    this.#sink.forward(bytes)
    return 'more'
  }
}
