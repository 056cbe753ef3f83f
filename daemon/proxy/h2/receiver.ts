/**
 * One side's frames as they come, checked one by one (RFC 9113 sections 4 to 6), header blocks put together and decoded.
 *
 * Threat model: the peer chooses every byte. A header block is bounded in bytes and in frames, also one whose fields
 * expand; a field list that is too long is read to its end all the same, for the state of the table. Anything else that
 * doesn't follow the rules ends the connection.
 */
import { type HeaderField, HpackDecoder } from '../../wire/hpack.ts'
import { MAX_FIELDS, MAX_HEAD } from '../http/head.ts'
import { CODE, FLAG, type Frame, PREFACE, TYPE } from './frame.ts'
import { FrameError } from './frame-error.ts'
import { FrameReader } from './frame-reader.ts'

export interface Priority {
  readonly exclusive: boolean
  readonly dependsOn: number
  /** As on the wire. */
  readonly weight: number
}

export interface HeaderList {
  readonly fields: readonly HeaderField[]
  /** There were more, or longer ones, than are taken. */
  readonly tooLong: boolean
  readonly endStream: boolean
  readonly priority: Priority | undefined
}

export interface DataFrame {
  readonly frame: Frame
  /** Without padding. */
  readonly content: Buffer
  readonly endStream: boolean
}

/** What is done with them. Each may throw a FrameError, which ends the connection. */
export interface FrameHandler {
  /** False where DATA of this length can't be passed on yet: {@link Receiver.resume} offers it again. */
  mayTake(length: number): boolean
  headers(stream: number, list: HeaderList): void
  data(stream: number, data: DataFrame): void
  reset(stream: number, code: number): void
  settings(entries: readonly (readonly [id: number, value: number])[]): void
  settingsAcknowledged(): void
  ping(frame: Frame): void
  goAway(lastStream: number, code: number, debug: Buffer): void
  windowUpdate(stream: number, increment: number): void
  altSvc(frame: Frame): void
}

const PRIORITY_LENGTH = 5
const SETTING_LENGTH = 6
/** Of one block: 64 KiB of fields take five of the shortest frames that a peer may be limited to. */
const MAX_CONTINUATIONS = 32
/** What each field counts beside its text (section 6.5.2). */
const FIELD_OVERHEAD = 32

/** A header block that has not come to its end. */
interface Block {
  readonly stream: number
  readonly parts: Buffer[]
  size: number
  readonly endStream: boolean
  readonly priority: Priority | undefined
}

export class Receiver {
  readonly #reader = new FrameReader()
  readonly #decoder = new HpackDecoder()
  readonly #handler: FrameHandler
  readonly #takers: Readonly<Record<number, (frame: Frame) => void>>
  #preface: Buffer | undefined
  #settled = false
  #held = true
  #waiting: Frame | undefined
  #block: Block | undefined

  /** Held at first. @param client the peer begins with the client's preface */
  constructor(handler: FrameHandler, client: boolean) {
    this.#handler = handler
    this.#preface = client ? PREFACE : undefined
    // What isn't here is an extension that nobody agreed on: ignored (section 5.5).
    this.#takers = {
      [TYPE.data]: (frame) => this.#data(frame),
      [TYPE.headers]: (frame) => this.#headers(frame),
      [TYPE.continuation]: (frame) => this.#continuation(frame),
      // Deprecated (section 5.3.2): read, and not passed on.
      [TYPE.priority]: (frame) => exactly(frame, PRIORITY_LENGTH),
      [TYPE.resetStream]: (frame) => this.#reset(frame),
      [TYPE.settings]: (frame) => this.#settings(frame),
      [TYPE.pushPromise]: () => {
        throw new FrameError(CODE.protocolError, 'a push, which nobody allowed')
      },
      [TYPE.ping]: (frame) => this.#ping(frame),
      [TYPE.goAway]: (frame) => this.#goAway(frame),
      [TYPE.windowUpdate]: (frame) => this.#windowUpdate(frame),
      [TYPE.altSvc]: (frame) => handler.altSvc(frame),
    }
  }

  /** In the middle of a header block. */
  get inBlock(): boolean {
    return this.#block !== undefined
  }

  /** In the middle of a frame, or of the preface. */
  get inFrame(): boolean {
    return !this.#held && (this.#reader.pending || (this.#preface?.length ?? PREFACE.length) < PREFACE.length)
  }

  /** What the peer was told that it may send, where it was. */
  allowFrames(size: number | undefined): void {
    if (size !== undefined) this.#reader.maxFrameSize = Math.max(this.#reader.maxFrameSize, size)
  }

  /** @throws FrameError */
  push(bytes: Buffer): void {
    this.#reader.push(this.#preface === undefined ? bytes : this.#begin(bytes, this.#preface))
    this.#pump()
  }

  /** Takes no frame any more, but bytes. */
  hold(): void {
    this.#held = true
  }

  get held(): boolean {
    return this.#held
  }

  /** @throws FrameError */
  resume(): void {
    this.#held = false
    this.#pump()
  }

  #begin(bytes: Buffer, preface: Buffer): Buffer {
    const length = Math.min(bytes.length, preface.length)
    if (!bytes.subarray(0, length).equals(preface.subarray(0, length))) {
      throw new FrameError(CODE.protocolError, 'no connection preface')
    }
    this.#preface = length === preface.length ? undefined : preface.subarray(length)
    return bytes.subarray(length)
  }

  #pump(): void {
    while (!this.#held) {
      const frame = this.#waiting ?? this.#reader.next()
      if (!frame) return
      this.#waiting = undefined
      if (frame.type === TYPE.data && !this.#handler.mayTake(frame.payload.length)) {
        this.#waiting = frame
        this.#held = true
        return
      }
      this.#take(frame)
    }
  }

  #take(frame: Frame): void {
    if (!this.#settled && (frame.type !== TYPE.settings || frame.flags & FLAG.acknowledged)) {
      throw new FrameError(CODE.protocolError, 'it does not begin with SETTINGS')
    }
    this.#settled = true
    if (this.#block && (frame.type !== TYPE.continuation || frame.stream !== this.#block.stream)) {
      throw new FrameError(CODE.protocolError, 'a header block that something else interrupts')
    }
    this.#takers[frame.type]?.(frame)
  }

  #data(frame: Frame): void {
    const content = unpadded(frame, 0)
    this.#handler.data(onStream(frame), { frame, content, endStream: (frame.flags & FLAG.endStream) !== 0 })
  }

  #headers(frame: Frame): void {
    const { flags } = frame
    const stream = onStream(frame)
    const prioritised = (flags & FLAG.priority) !== 0
    const fragment = unpadded(frame, prioritised ? PRIORITY_LENGTH : 0)
    const priority = prioritised ? priorityOf(frame) : undefined
    this.#block = {
      stream,
      parts: [fragment],
      size: fragment.length,
      endStream: (flags & FLAG.endStream) !== 0,
      priority,
    }
    if (flags & FLAG.endHeaders) this.#endBlock()
  }

  #continuation({ payload, flags }: Frame): void {
    const block = this.#block
    if (!block) throw new FrameError(CODE.protocolError, 'a CONTINUATION of nothing')
    block.parts.push(payload)
    block.size += payload.length
    if (block.parts.length > MAX_CONTINUATIONS || block.size > MAX_HEAD) {
      throw new FrameError(CODE.enhanceYourCalm, 'a header block without an end', 'excessive_frames')
    }
    if (flags & FLAG.endHeaders) this.#endBlock()
  }

  #endBlock(): void {
    const { stream, parts, endStream, priority } = this.#block as Block
    this.#block = undefined
    const fields: HeaderField[] = []
    let room = MAX_HEAD
    const whole = this.#decoder.decode(
      parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts),
      (field) => {
        room -= field.name.length + field.value.length + FIELD_OVERHEAD
        if (room >= 0 && fields.length < MAX_FIELDS) fields.push(field)
        else room = -1
      },
    )
    if (!whole) throw new FrameError(CODE.compressionError, 'a header block that is no HPACK')
    this.#handler.headers(stream, { fields, tooLong: room < 0, endStream, priority })
  }

  #reset(frame: Frame): void {
    exactly(frame, 4)
    this.#handler.reset(onStream(frame), frame.payload.readUInt32BE(0))
  }

  #ping(frame: Frame): void {
    exactly(frame, 8)
    onConnection(frame)
    this.#handler.ping(frame)
  }

  #settings(frame: Frame): void {
    onConnection(frame)
    const { payload, flags } = frame
    if (flags & FLAG.acknowledged) {
      exactly(frame, 0)
      this.#handler.settingsAcknowledged()
      return
    }
    if (payload.length % SETTING_LENGTH !== 0) throw wrongSize(frame)
    const entries: [number, number][] = []
    for (let at = 0; at < payload.length; at += SETTING_LENGTH) {
      entries.push([payload.readUInt16BE(at), payload.readUInt32BE(at + 2)])
    }
    this.#handler.settings(entries)
  }

  #goAway(frame: Frame): void {
    onConnection(frame)
    const { payload } = frame
    if (payload.length < 8) throw wrongSize(frame)
    const last = payload.readUInt32BE(0) & 0x7fff_ffff
    this.#handler.goAway(last, payload.readUInt32BE(4), payload.subarray(8))
  }

  #windowUpdate(frame: Frame): void {
    exactly(frame, 4)
    const increment = frame.payload.readUInt32BE(0) & 0x7fff_ffff
    if (increment === 0) throw new FrameError(CODE.protocolError, 'a WINDOW_UPDATE of nothing')
    this.#handler.windowUpdate(frame.stream, increment)
  }
}

/** @param after bytes that stand between the padding's length and the content */
function unpadded({ payload, flags }: Frame, after: number): Buffer {
  const padded = (flags & FLAG.padded) !== 0
  const start = (padded ? 1 : 0) + after
  const end = payload.length - (padded ? (payload[0] ?? 0) : 0)
  if (start > end) throw new FrameError(CODE.protocolError, 'more padding than there is room')
  return start === 0 && end === payload.length ? payload : payload.subarray(start, end)
}

function priorityOf({ payload, flags }: Frame): Priority {
  const at = flags & FLAG.padded ? 1 : 0
  const word = payload.readUInt32BE(at)
  return { exclusive: word >>> 31 === 1, dependsOn: word & 0x7fff_ffff, weight: payload[at + 4] as number }
}

function exactly(frame: Frame, length: number): void {
  if (frame.payload.length !== length) throw wrongSize(frame)
}

function onStream({ stream, type }: Frame): number {
  if (stream === 0) throw new FrameError(CODE.protocolError, `a frame of type ${type} on no stream`)
  return stream
}

function onConnection({ stream, type }: Frame): void {
  if (stream !== 0) throw new FrameError(CODE.protocolError, `a frame of type ${type} on a stream`)
}

const wrongSize = ({ type, payload }: Frame) =>
  new FrameError(CODE.frameSizeError, `a frame of type ${type} with ${payload.length} bytes`)
