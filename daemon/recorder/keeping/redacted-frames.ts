/**
 * An exchange's frames with what detectors find in the bodies replaced: as they go into the body store. The journal had
 * them as they came, sealed, for as long as the exchange was open.
 *
 * A body is looked into as a whole, whatever pieces it came in, and of a stream the text that its events make together.
 * What can't be looked into (too long, damaged, no text, what follows an upgrade to something else than a WebSocket) is
 * not stored at all: it may hold anything.
 */
import type { OwnDetectors } from '../../../policies/detectors/detect.ts'
import { type Head, parseHead, statusOf } from '../derive/http-head.ts'
import type { JournalFrame } from '../intake/journal-entry.ts'
import { FrameType } from '../protocol.ts'
import { type Frames, MAX_READ } from './judged.ts'
import { redactedBody } from './redacted-body.ts'

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

  #redacted(sent: Buffer): Buffer | undefined {
    const { own, names, isTurn } = this.#redaction
    const redacted = redactedBody({ head: this.head, isTurn, sent }, own, names)
    if (redacted === undefined) return undefined
    this.#redaction.count += redacted.count
    for (const kind of redacted.found) this.#redaction.found.add(kind)
    return redacted.bytes
  }
}
