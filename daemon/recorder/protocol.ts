/**
 * What a proxy worker says to the recorder about exchanges, over a Unix stream socket.
 *
 * Frame: u32be length of what follows | u8 type | u32be exchange | f64be time | payload.
 * `exchange` numbers exchanges within one connection; `time` is milliseconds since the epoch, with
 * fractions. The recorder answers RequestEnd with Durable or Failed: only then may the request's last
 * byte leave the machine.
 *
 * Threat model: the workers parse hostile traffic and may be taken over, so the recorder treats frames as
 * hostile: lengths are bounded, JSON payloads go through a schema (payloads.ts), and a malformed frame ends
 * the connection.
 */
import type { z } from 'zod'
import { AnchorError } from '../base/errors.ts'
import type * as payloads from './payloads.ts'

export type { Outcome } from './outcomes.ts'

export const FrameType = {
  /** JSON {@link OpenPayload}. */
  Open: 1,
  /** Request line and headers as sent, credentials already replaced. */
  RequestHead: 2,
  /** Bytes of the request's body, transfer coding removed. */
  RequestBody: 3,
  /** JSON {@link RequestEndPayload}; answered by Durable or Failed. */
  RequestEnd: 4,
  /** Status line and headers as sent, cookies already replaced. 1xx answers come before the final one. */
  ResponseHead: 5,
  ResponseBody: 6,
  /** JSON {@link EndPayload}: the exchange is over. With `hold` in it, answered by Reached. */
  End: 7,
  /** JSON {@link RefusalPayload}: a connection that was refused; stands alone, exchange number 0. */
  Refusal: 8,
  /** Recorder to proxy: everything up to RequestEnd is on disk. */
  Durable: 64,
  /**
   * Recorder to proxy, JSON {@link FailedPayload}: it could not be made durable. May also come after
   * Durable, once, where the rest of the exchange can no longer be written.
   */
  Failed: 65,
  /** Recorder to proxy: the record of an exchange whose End had `hold` has reached its level. */
  Reached: 66,
  /** Recorder to proxy, JSON {@link Admission}, exchange 0: whether new exchanges may begin from here on. */
  Admission: 67,
} as const
export type FrameType = (typeof FrameType)[keyof typeof FrameType]

/** Longest payload of a frame; longer bodies come in several frames. */
export const MAX_FRAME = 1 << 20
export const FRAME_HEADER = 17

export interface Frame {
  readonly type: FrameType
  readonly exchange: number
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly payload: Buffer
}

export type OpenPayload = Readonly<z.infer<typeof payloads.OpenPayload>>
export type RequestEndPayload = Readonly<z.infer<typeof payloads.RequestEndPayload>>
export type EndPayload = Readonly<z.infer<typeof payloads.EndPayload>>
export type RefusalPayload = Readonly<z.infer<typeof payloads.RefusalPayload>>
export type Credential = OpenPayload['credentials'][number]
export type Agent = OpenPayload['agent']
export type Endpoint = OpenPayload['client']

export interface FailedPayload {
  readonly code: string
  readonly message: string
}

export interface Admission {
  /** Why not. */
  readonly refused?: string
}

export type ProtocolErrorCode = 'FRAME_TOO_LONG' | 'FRAME_TOO_SHORT' | 'UNKNOWN_FRAME'

export class ProtocolError extends AnchorError<ProtocolErrorCode> {}

const KNOWN = new Set<number>(Object.values(FrameType))
const REMEDY = 'Restart the worker that sent it; if it comes again, report it with the log of the recorder.'

/** One frame's bytes, header and payload as two buffers to be written together. */
export function frameHeader(type: FrameType, exchange: number, time: number, payloadLength: number): Buffer {
  const header = Buffer.allocUnsafe(FRAME_HEADER)
  header.writeUInt32BE(FRAME_HEADER - 4 + payloadLength, 0)
  header.writeUInt8(type, 4)
  header.writeUInt32BE(exchange, 5)
  header.writeDoubleBE(time, 9)
  return header
}

/** Splits a byte stream into frames; a payload may share memory with the input. */
export class FrameReader {
  #parts: Buffer[] = []
  #size = 0
  /** Bytes needed before another look is worth it: a long frame is put together once, not per piece. */
  #needed = 4

  /** @throws ProtocolError on a frame that is too long, too short or of unknown type. */
  push(bytes: Buffer): Frame[] {
    this.#parts.push(bytes)
    this.#size += bytes.length
    if (this.#size < this.#needed) return []
    let data = this.#parts.length === 1 ? bytes : Buffer.concat(this.#parts)
    const frames: Frame[] = []
    this.#needed = 4
    while (data.length >= 4) {
      const length = data.readUInt32BE(0)
      checkLength(length)
      if (data.length >= 5 && !KNOWN.has(data.readUInt8(4))) {
        throw new ProtocolError('UNKNOWN_FRAME', `frame type ${data.readUInt8(4)}`, REMEDY)
      }
      if (data.length < 4 + length) {
        this.#needed = 4 + length
        break
      }
      frames.push({
        type: data.readUInt8(4) as FrameType,
        exchange: data.readUInt32BE(5),
        time: data.readDoubleBE(9),
        payload: data.subarray(FRAME_HEADER, 4 + length),
      })
      data = data.subarray(4 + length)
    }
    this.#parts = data.length === 0 ? [] : [data]
    this.#size = data.length
    return frames
  }
}

function checkLength(length: number): void {
  if (length > MAX_FRAME + FRAME_HEADER) {
    throw new ProtocolError('FRAME_TOO_LONG', `a frame of ${length} bytes`, REMEDY)
  }
  if (length < FRAME_HEADER - 4) {
    throw new ProtocolError('FRAME_TOO_SHORT', `a frame of ${length} bytes`, REMEDY)
  }
}
