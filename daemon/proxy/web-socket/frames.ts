/**
 * One direction of a WebSocket (RFC 6455 §5): where its frames and messages begin and end, and their payload without
 * the mask. Looks at bytes that are forwarded as they came.
 *
 * Threat model: a frame that the provider reads otherwise than we do would hide a message from the record. So what
 * RFC 6455 tells a peer to fail the connection for is an error here, and the connection is cut.
 */
import { randomBytes } from 'node:crypto'
import { ProxyError } from '../proxy-error.ts'

export type FrameKind = 'text' | 'binary' | 'close' | 'ping' | 'pong'

/** A stretch of one frame's payload. */
export interface FramePart {
  readonly kind: FrameKind
  /** Reserved bits of the message's first frame: 4 is RSV1. */
  readonly rsv: number
  readonly payload: Buffer
  /** The message ends with it. */
  readonly ends: boolean
  /** Index behind it in the bytes that were read. */
  readonly at: number
}

export interface FrameRules {
  /** A client's frames are masked, a server's never. */
  readonly masked: boolean
  /** Reserved bits that an extension gives a meaning. */
  readonly rsv: number
}

const MAX_CONTROL = 125
const MAX_FRAME_HEAD = 14
const KINDS: Readonly<Record<number, FrameKind>> = {
  1: 'text',
  2: 'binary',
  8: 'close',
  9: 'ping',
  10: 'pong',
}

const malformed = (what: string) =>
  new ProxyError('malformed_web_socket', `malformed WebSocket: ${what}`, 'Send frames as RFC 6455 asks.')

interface Open {
  readonly kind: FrameKind
  readonly rsv: number
}

interface Frame extends Open {
  readonly final: boolean
  readonly mask: Buffer | undefined
  left: number
  /** Bytes of the payload so far: the mask's place. */
  at: number
  /** A control frame's payload is given whole. */
  readonly control: Buffer[] | undefined
}

export class FrameReader {
  readonly #rules: FrameRules
  #head = Buffer.alloc(0)
  #frame: Frame | undefined
  /** The data message that has begun and not ended. */
  #message: Open | undefined
  #closed = false
  #broken = false

  constructor(rules: FrameRules) {
    this.#rules = rules
  }

  /** Between two frames, after whole ones: a frame of our own may follow. */
  get betweenFrames(): boolean {
    return !this.#broken && !this.#closed && this.#frame === undefined && this.#head.length === 0
  }

  /** A data message has begun and its end has not come. */
  get midMessage(): boolean {
    return this.#message !== undefined
  }

  /** @throws ProxyError malformed_web_socket: nothing of these bytes may be forwarded */
  read(bytes: Buffer): FramePart[] {
    try {
      return this.#read(bytes)
    } catch (error) {
      this.#broken = true
      throw error
    }
  }

  #read(bytes: Buffer): FramePart[] {
    const parts: FramePart[] = []
    let at = 0
    for (;;) {
      if (!this.#frame) at = this.#begin(bytes, at)
      const frame = this.#frame
      if (!frame) return parts
      const taken = bytes.subarray(at, at + frame.left)
      at += taken.length
      const payload = frame.mask ? unmasked(taken, frame.mask, frame.at) : taken
      frame.left -= taken.length
      frame.at += taken.length
      const over = frame.left === 0
      const ends = over && frame.final
      frame.control?.push(payload)
      if (frame.control ? over : taken.length > 0 || ends) {
        const whole = frame.control ? Buffer.concat(frame.control) : payload
        parts.push({ kind: frame.kind, rsv: frame.rsv, payload: whole, ends, at })
      }
      if (!over) return parts
      this.#over(frame)
    }
  }

  #over(frame: Frame): void {
    this.#frame = undefined
    if (frame.kind === 'close') this.#closed = true
    else if (frame.kind === 'text' || frame.kind === 'binary') {
      this.#message = frame.final ? undefined : { kind: frame.kind, rsv: frame.rsv }
    }
  }

  /** Takes bytes of a frame's head. @returns index after them */
  #begin(bytes: Buffer, offset: number): number {
    const before = this.#head.length
    const fresh = bytes.subarray(offset, offset + MAX_FRAME_HEAD - before)
    if (fresh.length === 0) return offset
    const head = before === 0 ? fresh : Buffer.concat([this.#head, fresh])
    const second = head[1] ?? 0
    const short = second & 0x7f
    const lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0
    const masked = (second & 0x80) !== 0
    const size = 2 + lengthBytes + (masked ? 4 : 0)
    if (head.length < 2 || head.length < size) {
      this.#head = Buffer.from(head)
      return offset + fresh.length
    }
    if (masked !== this.#rules.masked) throw malformed(masked ? 'a masked frame' : 'a frame without a mask')
    const length = lengthBytes === 0 ? short : lengthBytes === 2 ? head.readUInt16BE(2) : longLength(head)
    const mask = masked ? Buffer.from(head.subarray(size - 4, size)) : undefined
    const control = ((head[0] as number) & 8) === 0 ? undefined : []
    this.#frame = { ...this.#check(head[0] as number, length), mask, left: length, at: 0, control }
    this.#head = Buffer.alloc(0)
    return offset + size - before
  }

  #check(first: number, length: number): Open & { final: boolean } {
    const final = (first & 0x80) !== 0
    const rsv = (first >> 4) & 7
    const opcode = first & 0x0f
    const kind = opcode === 0 ? this.#message?.kind : KINDS[opcode]
    if (kind === undefined) throw malformed(opcode === 0 ? 'a continuation of nothing' : 'a reserved opcode')
    const control = opcode >= 8
    // A pong may cross the close that it comes behind, and some close twice: peers ignore that (§5.5.1 forbids data).
    if (this.#closed && !control) throw malformed('a message after the close')
    if (control && (!final || length > MAX_CONTROL)) throw malformed('a control frame in parts, or too long')
    if (kind === 'close' && length === 1) throw malformed('a close code of one byte')
    if (opcode !== 0 && !control && this.#message) throw malformed('a message within a message')
    // Of permessage-deflate only a message's first frame has a bit set (RFC 7692 §6.1).
    const allowed = this.#rules.rsv === DEFLATED && (control || opcode === 0) ? 0 : this.#rules.rsv
    if ((rsv & ~allowed) !== 0) throw malformed('a reserved bit')
    return { kind, rsv: opcode === 0 ? (this.#message?.rsv ?? 0) : rsv, final }
  }
}

/** RSV1, the bit of permessage-deflate. */
export const DEFLATED = 4

/** A whole message, or a control frame, as a client sends it: in one frame, masked, without an extension. */
export function clientFrame(kind: FrameKind, payload: Buffer): Buffer {
  const mask = randomBytes(4)
  return Buffer.concat([frameHead(kind, payload.length, 0x80), mask, unmasked(payload, mask, 0)])
}

/** The same as a server sends it. */
export const serverFrame = (kind: FrameKind, payload: Buffer): Buffer =>
  Buffer.concat([frameHead(kind, payload.length, 0), payload])

function frameHead(kind: FrameKind, length: number, masked: 0 | 0x80): Buffer {
  const opcode = Number(Object.keys(KINDS).find((code) => KINDS[Number(code)] === kind))
  const lengthBytes = length > 0xffff ? 8 : length > MAX_CONTROL ? 2 : 0
  const head = Buffer.alloc(2 + lengthBytes)
  head[0] = 0x80 | opcode
  head[1] = masked | (lengthBytes === 8 ? 127 : lengthBytes === 2 ? 126 : length)
  if (lengthBytes === 2) head.writeUInt16BE(length, 2)
  if (lengthBytes === 8) head.writeBigUInt64BE(BigInt(length), 2)
  return head
}

function longLength(head: Buffer): number {
  const length = head.readBigUInt64BE(2)
  if (length > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed('a frame of more than 2^53 bytes')
  return Number(length)
}

function unmasked(bytes: Buffer, mask: Buffer, from: number): Buffer {
  const plain = Buffer.allocUnsafe(bytes.length)
  for (let i = 0; i < bytes.length; i++) plain[i] = (bytes[i] as number) ^ (mask[(from + i) & 3] as number)
  return plain
}
