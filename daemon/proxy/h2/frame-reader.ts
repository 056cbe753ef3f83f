/** Splits a byte stream into HTTP/2 frames. What is kept is at most one frame and what came in one read. */
import { CODE, DEFAULT_FRAME_SIZE, FRAME_HEADER, type Frame } from './frame.ts'
import { FrameError } from './frame-error.ts'

export class FrameReader {
  /** Longest payload taken. */
  maxFrameSize = DEFAULT_FRAME_SIZE
  #parts: Buffer[] = []
  #size = 0
  /** Bytes needed before another look is worth it: a frame in many pieces is put together once. */
  #needed = FRAME_HEADER

  /** A frame has begun. */
  get pending(): boolean {
    return this.#size > 0
  }

  push(bytes: Buffer): void {
    this.#parts.push(bytes)
    this.#size += bytes.length
  }

  /** @throws FrameError where it is too long */
  next(): Frame | undefined {
    if (this.#size < this.#needed) return undefined
    const bytes = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts)
    this.#parts = [bytes]
    this.#needed = FRAME_HEADER
    if (bytes.length < FRAME_HEADER) return undefined
    const length = bytes.readUIntBE(0, 3)
    if (length > this.maxFrameSize) throw new FrameError(CODE.frameSizeError, `a frame of ${length} bytes`)
    const end = FRAME_HEADER + length
    if (bytes.length < end) {
      this.#needed = end
      return undefined
    }
    this.#parts = bytes.length === end ? [] : [bytes.subarray(end)]
    this.#size -= end
    return {
      type: bytes[3] as number,
      flags: bytes[4] as number,
      // The first bit is reserved and ignored.
      stream: bytes.readUInt32BE(5) & 0x7fff_ffff,
      payload: bytes.subarray(FRAME_HEADER, end),
      raw: bytes.subarray(0, end),
    }
  }
}
