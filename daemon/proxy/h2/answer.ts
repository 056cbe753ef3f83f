/** A provider's answer on a stream: checked, and passed on to the agent frame by frame. */
import type { HeaderField } from '../../wire/hpack.ts'
import type { ExchangeHost } from './exchange-host.ts'
import { readResponse, readTrailers } from './heads.ts'
import type { DataFrame, HeaderList } from './receiver.ts'

/** Where it goes: to the agent, or to what holds it. */
export interface AnswerOut {
  headers(fields: readonly HeaderField[], endStream: boolean): void
  data(data: DataFrame): void
}

/** Who hears what it says, before the agent does. */
export interface AnswerSink {
  /** Where it goes, as of now. */
  readonly out: AnswerOut
  /** An informational one, or the final one. */
  head(list: HeaderList, status: number): void
  body(content: Buffer): void
}

export class Answer {
  readonly #host: ExchangeHost
  readonly #sink: AnswerSink
  #headed = false
  #begun = false
  #done = false
  #trailers: string | undefined

  constructor(host: ExchangeHost, sink: AnswerSink) {
    this.#host = host
    this.#sink = sink
  }

  /** The final head came. */
  get headed(): boolean {
    return this.#headed
  }

  /** Something of it went on. */
  get begun(): boolean {
    return this.#begun
  }

  get done(): boolean {
    return this.#done
  }

  get trailers(): string | undefined {
    return this.#trailers
  }

  /** @throws where it can't be passed on */
  headers(list: HeaderList): void {
    const { hide } = this.#host
    if (this.#done) throw new Error('fields after its end')
    if (this.#headed) {
      this.#trailers = readTrailers(list)
      this.#sink.out.headers(list.fields, true)
    } else {
      const status = readResponse(list)
      this.#headed = status >= 200
      if (!this.#headed && list.endStream) throw new Error('it ends with an informational status')
      this.#sink.head(list, status)
      this.#begun = true
      const shown = list.fields.filter(({ name }) => name !== hide)
      this.#sink.out.headers(shown, list.endStream)
    }
    this.#done = list.endStream
  }

  /** @throws where it can't be passed on */
  data(data: DataFrame): void {
    const { frame, content, endStream } = data
    if (!this.#headed || this.#done) throw new Error('a body without a head, or after its end')
    this.#sink.body(content)
    if (frame.payload.length > 0 || endStream) this.#sink.out.data(data)
    this.#done = endStream
  }
}
