/**
 * An exchange's frames with what detectors find in the bodies replaced: as they go into the body store. The journal had
 * them as they came, sealed, for as long as the exchange was open.
 *
 * A body is looked into as a whole, whatever pieces it came in, and of a stream the text that its events make together.
 * What can't be looked into (too long, damaged, no text, what follows an upgrade to something else than a WebSocket) is
 * not stored at all: it may hold anything.
 */
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { OwnDetectors } from '../../../policies/detectors/detect.ts'
import { BodyContent } from '../../../policies/request-content.ts'
import { redactedStream } from '../../../policies/stream-content.ts'
import { decodeContent } from '../derive/content-coding.ts'
import { framingOf } from '../derive/framing.ts'
import { type Head, parseHead, statusOf } from '../derive/http-head.ts'
import type { JournalFrame } from '../intake/journal-entry.ts'
import { FrameType } from '../protocol.ts'
import { type Framed, framed, isText } from './framed.ts'
import { framedMessages } from './framed-messages.ts'
import { type Frames, MAX_READ } from './judged.ts'

export interface Redaction {
  readonly own: OwnDetectors
  readonly names: readonly string[]
  /** The bodies are messages of a WebSocket (web-socket-body.ts). */
  readonly isTurn: boolean
  /** How much was replaced, and what it was. */
  count: number
  readonly found: Set<string>
  /** Bodies that must not be stored. */
  readonly unstored: Set<'request' | 'response'>
}

const ENCODERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
}

export function* redactedFrames(frames: Frames, redaction: Redaction): Generator<JournalFrame | 'damaged'> {
  const request = new Side('request', redaction)
  const response = new Side('response', redaction)
  for (const frame of frames) {
    if (frame === 'damaged') {
      // A part of a body may be what is missing.
      request.unreadable()
      response.unreadable()
      yield frame
      continue
    }
    switch (frame.type) {
      case FrameType.RequestHead:
        request.head = parseHead(frame.payload)
        yield frame
        break
      case FrameType.ResponseHead:
        response.head = parseHead(frame.payload)
        if (statusOf(response.head) === 101 && !redaction.isTurn) {
          request.unreadable()
          response.unreadable()
        }
        yield frame
        break
      case FrameType.RequestBody:
        yield* request.take(frame)
        break
      case FrameType.ResponseBody:
        yield* response.take(frame)
        break
      case FrameType.RequestEnd:
        yield* request.end()
        yield frame
        break
      case FrameType.End:
        yield* request.end()
        yield* response.end()
        yield frame
        break
      default:
        yield frame
    }
  }
  yield* request.end()
  yield* response.end()
}

/**
 * What was made of a body, in as many frames as that came in: their times say when its answer began and how it went on.
 * Where in what was replaced one ended can't be said exactly.
 */
function* asTheyCame(held: readonly JournalFrame[], sent: Buffer, made: Buffer): Generator<JournalFrame> {
  const most = Math.min(sent.length, made.length)
  let same = 0
  while (same < most && sent[same] === made[same]) same++
  let ended = 0
  let from = 0
  for (const frame of held) {
    ended += frame.payload.length
    const behind = same + Math.round(((ended - same) / (sent.length - same)) * (made.length - same))
    const to = ended <= same ? ended : behind
    yield { ...frame, payload: made.subarray(from, to) }
    from = to
  }
}

class Side {
  head: Head = { startLine: '', fields: new Map() }
  readonly #name: 'request' | 'response'
  readonly #redaction: Redaction
  #held: JournalFrame[] = []
  #size = 0

  constructor(name: 'request' | 'response', redaction: Redaction) {
    this.#name = name
    this.#redaction = redaction
  }

  unreadable(): void {
    this.#redaction.unstored.add(this.#name)
  }

  /** Held until all of it is there; what is not stored passes on to be counted and hashed. */
  *take(frame: JournalFrame): Generator<JournalFrame> {
    this.#size += frame.payload.length
    this.#held.push(frame)
    if (this.#size > MAX_READ) this.unreadable()
    if (this.#redaction.unstored.has(this.#name)) yield* this.#release()
  }

  *end(): Generator<JournalFrame> {
    if (this.#held.length === 0) return
    const sent = Buffer.concat(this.#held.map(({ payload }) => payload))
    const bytes = this.#redacted(sent)
    if (bytes === undefined) this.unreadable()
    if (bytes === undefined || bytes === sent) {
      yield* this.#release()
      return
    }
    const held = this.#held
    this.#held = []
    yield* asTheyCame(held, sent, bytes)
  }

  *#release(): Generator<JournalFrame> {
    const held = this.#held
    this.#held = []
    yield* held
  }

  /** In the same content coding, so that it still is what its head says. */
  #redacted(sent: Buffer): Buffer | undefined {
    if (this.#redaction.isTurn) return this.#events(sent, framedMessages(sent))
    const decoded = decodeContent(this.head, sent)
    if ('unparsed' in decoded) return undefined
    const { bytes } = decoded
    const framing = framingOf(this.head, bytes)
    const plain = framing ? this.#events(bytes, framed(framing, bytes)) : this.#document(bytes)
    if (plain === undefined || plain === bytes) return plain && sent
    const codings = (this.head.fields.get('content-encoding') ?? []).flatMap((value) => value.split(','))
    return codings.reduce<Buffer>(
      (coded, coding) => ENCODERS[coding.trim().toLowerCase()]?.(coded) ?? coded,
      plain,
    )
  }

  /** The same where nothing was found; undefined where it can't be looked into. */
  #document(bytes: Buffer): Buffer | undefined {
    if (!isText(bytes)) return undefined
    const content = new BodyContent(bytes)
    // Lines of JSON under another type, or a document that was broken off.
    if (content.notJson !== undefined && /^\s*\{/.test(bytes.toString('latin1', 0, 64)))
      return this.#events(bytes, framed('lines', bytes))
    const { text, count, found } = content.redacted(this.#redaction.own, this.#redaction.names)
    this.#note(count, found)
    return count === 0 ? bytes : Buffer.from(text)
  }

  #events(bytes: Buffer, events: Framed | undefined): Buffer | undefined {
    if (events === undefined) return undefined
    const redacted = redactedStream(events.texts, this.#redaction.own, this.#redaction.names)
    if ('unreadable' in redacted) return undefined
    this.#note(redacted.count, redacted.found)
    return redacted.count === 0 ? bytes : events.with(redacted.texts)
  }

  #note(count: number, found: readonly string[]): void {
    this.#redaction.count += count
    for (const kind of found) this.#redaction.found.add(kind)
  }
}
