/**
 * An exchange's frames with what detectors find in the bodies replaced: as they go into the body store. The journal had
 * them as they came, sealed, for as long as the exchange was open.
 *
 * What can't be looked into (too long, damaged, no text, a WebSocket's messages) is not stored at all: it may hold
 * anything.
 */
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import type { OwnDetectors } from '../../../policies/detectors/detect.ts'
import { BodyContent } from '../../../policies/request-content.ts'
import { decodeContent } from '../derive/content-coding.ts'
import { type Head, parseHead, statusOf } from '../derive/http-head.ts'
import type { JournalFrame } from '../intake/journal-entry.ts'
import { FrameType } from '../protocol.ts'
import { type Frames, MAX_READ } from './judged.ts'

export interface Redaction {
  readonly own: OwnDetectors
  readonly names: readonly string[]
  /** How much was replaced. */
  count: number
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
        if (statusOf(response.head) === 101) {
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
    const last = this.#held.at(-1)
    if (last === undefined) return
    const bytes = this.#redacted(Buffer.concat(this.#held.map(({ payload }) => payload)))
    if (bytes === undefined) {
      this.unreadable()
      yield* this.#release()
    } else {
      this.#held = []
      yield { ...last, payload: bytes }
    }
  }

  *#release(): Generator<JournalFrame> {
    const held = this.#held
    this.#held = []
    yield* held
  }

  /** In the same content coding, so that it still is what its head says. */
  #redacted(sent: Buffer): Buffer | undefined {
    const decoded = decodeContent(this.head, sent)
    if ('unparsed' in decoded) return undefined
    const content = new BodyContent(decoded.bytes)
    const { text, count } = content.redacted(this.#redaction.own, this.#redaction.names)
    if (content.notJson !== undefined && !isText(decoded.bytes)) return undefined
    this.#redaction.count += count
    if (count === 0) return sent
    const codings = (this.head.fields.get('content-encoding') ?? []).flatMap((value) => value.split(','))
    return codings.reduce<Buffer>(
      (bytes, coding) => ENCODERS[coding.trim().toLowerCase()]?.(bytes) ?? bytes,
      Buffer.from(text),
    )
  }
}

const isText = (bytes: Buffer): boolean => Buffer.from(bytes.toString('utf8')).equals(bytes)
