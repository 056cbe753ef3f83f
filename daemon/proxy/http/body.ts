/**
 * Finds the end of a message body in the bytes as they come, and the entity's bytes in it, without copying.
 *
 * Threat model: chunked framing is where smuggling lives. Sizes are plain hex of at most 12 digits that count, lines end in
 * CRLF and are bounded, trailers are fields and may not frame or route (RFC 9110 §6.5.1).
 */
import { ProxyError } from '../proxy-error.ts'
import type { Framing } from './framing.ts'
import { parseTrailers } from './head.ts'

export interface BodyReader {
  /** True once the last byte of the body was read. */
  readonly done: boolean
  /** The trailer section as sent, after the end of a chunked body that has one. */
  readonly trailers: string | undefined
  /**
   * Takes bytes from `offset` on, puts slices of the entity `into` the array and says the index after the last
   * byte that belongs to this body: `bytes.length` until the body is done.
   * @throws ProxyError malformed_chunk, malformed_field
   */
  read(bytes: Buffer, offset: number, into: Buffer[]): number
}

export function bodyReader(framing: Framing): BodyReader {
  if (framing.kind === 'chunked') return new ChunkedBody()
  if (framing.kind === 'until-close') return new LengthBody(Number.POSITIVE_INFINITY)
  return new LengthBody(framing.kind === 'length' ? framing.length : 0)
}

class LengthBody implements BodyReader {
  #left: number
  readonly trailers = undefined

  constructor(length: number) {
    this.#left = length
  }

  get done(): boolean {
    return this.#left === 0
  }

  read(bytes: Buffer, offset: number, into: Buffer[]): number {
    const length = Math.min(this.#left, bytes.length - offset)
    if (length === 0) return offset
    this.#left -= length
    into.push(offset === 0 && length === bytes.length ? bytes : bytes.subarray(offset, offset + length))
    return offset + length
  }
}

const CR = 0x0d
const LF = 0x0a
/** 2^48 bytes in one chunk are more than anything sends and fit a double; zeros before them, and blanks before an extension, are legal. */
const SIZE_LINE = /^(0*[0-9a-fA-F]{1,12})(?:[\t ]*;[\t\x20-\x7e\x80-\xff]*)?$/
const MAX_SIZE_LINE = 256
const MAX_TRAILERS = 16 * 1024
/** Fields that would change how the message is read or where it goes. */
const FORBIDDEN_TRAILERS = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'connection',
  'trailer',
  'te',
  'upgrade',
])

class ChunkedBody implements BodyReader {
  /** size: in a size line; data: in a chunk; after: the CRLF behind it; trailer: in the trailer section. */
  #state: 'size' | 'data' | 'after' | 'trailer' | 'done' = 'size'
  #left = 0
  /** What has come of the current line, without its LF. */
  #line = ''
  #trailers = ''

  get done(): boolean {
    return this.#state === 'done'
  }

  get trailers(): string | undefined {
    return this.#state === 'done' && this.#trailers !== '' ? this.#trailers : undefined
  }

  read(bytes: Buffer, offset: number, into: Buffer[]): number {
    let at = offset
    while (at < bytes.length && this.#state !== 'done') {
      if (this.#state === 'data') at = this.#data(bytes, at, into)
      else at = this.#lineOf(bytes, at)
    }
    return at
  }

  #data(bytes: Buffer, at: number, into: Buffer[]): number {
    const end = Math.min(bytes.length, at + this.#left)
    into.push(bytes.subarray(at, end))
    this.#left -= end - at
    if (this.#left === 0) this.#state = 'after'
    return end
  }

  #lineOf(bytes: Buffer, at: number): number {
    const limit = this.#state === 'trailer' ? MAX_TRAILERS - this.#trailers.length : MAX_SIZE_LINE
    const found = bytes.indexOf(LF, at)
    const end = found < 0 ? bytes.length : found
    if (this.#line.length + end - at > limit) throw bad('a line that is too long')
    this.#line += bytes.toString('latin1', at, end)
    if (found < 0) return end
    const line = this.#line
    this.#line = ''
    if (line.charCodeAt(line.length - 1) !== CR) throw bad('a line that ends without CR')
    this.#take(line.slice(0, -1))
    return end + 1
  }

  #take(line: string): void {
    if (this.#state === 'after') {
      if (line !== '') throw bad('a chunk that is longer than its size')
      this.#state = 'size'
    } else if (this.#state === 'size') {
      const size = SIZE_LINE.exec(line)?.[1]
      if (size === undefined) throw bad('a chunk size')
      this.#left = Number.parseInt(size, 16)
      this.#state = this.#left === 0 ? 'trailer' : 'data'
    } else if (line !== '') {
      this.#trailers += `${line}\r\n`
    } else {
      for (const { name } of parseTrailers(this.#trailers)) {
        if (FORBIDDEN_TRAILERS.has(name)) throw bad('a trailer field that frames or routes')
      }
      this.#state = 'done'
    }
  }
}

const bad = (what: string) =>
  new ProxyError('malformed_chunk', `malformed chunked body: ${what}`, 'Send chunks as RFC 9112 §7.1 asks.')
