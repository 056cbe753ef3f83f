/** A request on a stream that waits for its verdict: its frames as they came, and as they go out where it is redacted. */
import { Examination, examines, type RequestFacts } from '../examination/examination.ts'
import type { Judged } from '../examination/judged.ts'
import type { Governed, Shared } from '../relay/facts.ts'
import type { RequestFields } from './heads.ts'
import { inFrames, type Piece } from './piece.ts'
import type { HeaderList } from './receiver.ts'

/** Codings and trailers of a body that is another by now. */
const OF_THE_BODY = new Set(['content-encoding', 'trailer'])

export class HeldStream {
  readonly #list: HeaderList
  readonly #examination: Examination
  #pieces: Piece[] = []

  private constructor(
    shared: Shared,
    governed: Governed,
    request: RequestFields,
    list: HeaderList,
    isRecorded: boolean,
    decided: (judged: Judged) => void,
  ) {
    this.#list = list
    const facts = factsOf(request, list, isRecorded)
    this.#examination = new Examination(shared.policy, governed, facts, shared.holding, decided)
  }

  /**
   * @param isRecorded else a WebSocket's messages are not read
   * @returns undefined where the policy asks nothing of requests
   */
  static of(
    shared: Shared,
    governed: Governed,
    request: RequestFields,
    list: HeaderList,
    isRecorded: boolean,
    decided: (judged: Judged) => void,
  ): HeldStream | undefined {
    if (!examines(shared.policy)) return undefined
    return new HeldStream(shared, governed, request, list, isRecorded, decided)
  }

  /** The agent waits to be asked for the body (RFC 9110, 10.1.1), which the provider is not told of yet. */
  get wantsContinue(): boolean {
    const { fields, endStream } = this.#list
    return !endStream && fields.some(({ name, value }) => name === 'expect' && /^100-continue$/i.test(value))
  }

  /** The verdict may come at once. */
  start(): void {
    this.#examination.start()
  }

  /** @param whole nothing comes after it */
  take(piece: Piece, whole: boolean): void {
    this.#pieces.push(piece)
    if (piece.kind === 'data') this.#examination.more([piece.data.content])
    if (whole) this.#examination.end()
  }

  /** Nobody waits for the verdict any more. @returns what came of the body */
  stop(): Buffer[] {
    this.#examination.stop()
    return this.#pieces.flatMap((piece) => (piece.kind === 'data' ? [piece.data.content] : []))
  }

  /** @returns what goes out; the agent gave no room for what is of our own making */
  release({ body }: Judged): readonly Piece[] {
    return body === undefined
      ? this.#pieces
      : [{ kind: 'head', list: withBody(this.#list, body) }, ...inFrames(body, true, true)]
  }
}

function factsOf(
  request: RequestFields,
  { fields, endStream }: HeaderList,
  isRecorded: boolean,
): RequestFacts {
  const upgrade = isRecorded && request.webSocket ? 'handshake' : 'upgrade'
  return {
    method: request.asked,
    target: request.target.path,
    field: (name) => fields.filter((field) => field.name === name).map(({ value }) => value),
    length: endStream ? 0 : request.length,
    kind: request.tunnel ? upgrade : 'request',
  }
}

/** The head with another body's length, where it has one; all else as it was sent. */
function withBody(list: HeaderList, { length }: Buffer): HeaderList {
  const fields = list.fields
    .filter(({ name }) => !OF_THE_BODY.has(name))
    .map((field) => (field.name === 'content-length' ? { ...field, value: String(length) } : field))
  return { ...list, fields }
}
