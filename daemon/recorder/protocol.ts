/**
 * What a proxy worker says to the recorder about exchanges, over a Unix stream socket.
 *
 * Frame: u32be length of what follows | u8 type | u32be exchange | f64be time | payload.
 * `exchange` numbers exchanges within one connection; `time` is milliseconds since the epoch, with
 * fractions. The recorder answers REQUEST_END with DURABLE or FAILED: only then may the request's last
 * byte leave the machine.
 *
 * Threat model: the workers parse hostile traffic and may be taken over, so the recorder treats frames as
 * hostile: lengths are bounded, JSON payloads go through a schema, and a malformed frame ends the connection.
 */
import { AnchorError } from '../base/errors.ts'

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
  /** JSON {@link EndPayload}: the exchange is over. */
  End: 7,
  /** JSON {@link RefusalPayload}: a connection that was refused; stands alone, exchange number 0. */
  Refusal: 8,
  /** Recorder to proxy: everything up to RequestEnd is on disk. */
  Durable: 64,
  /** Recorder to proxy, JSON {@link FailedPayload}: it could not be made durable. */
  Failed: 65,
} as const
export type FrameType = (typeof FrameType)[keyof typeof FrameType]

/** Longest frame; longer bodies come in several. */
export const MAX_FRAME = 1 << 20
export const FRAME_HEADER = 17

export interface Frame {
  readonly type: FrameType
  readonly exchange: number
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly payload: Buffer
}

export interface Endpoint {
  readonly address: string
  readonly port: number
}

export interface Agent {
  /** Absent where the kernel no longer knew the socket: unknown, never guessed. */
  readonly uid?: number
  readonly inode?: number
}

/** Who talked to whom, known before the first byte of HTTP. */
export interface OpenPayload {
  /** UUIDv7, the record's id. */
  readonly id: string
  /** Catalogue id of the provider. */
  readonly provider: string
  /** The validated name: SNI, or Host on plain HTTP. */
  readonly serverName: string
  readonly agent: Agent
  readonly client: Endpoint
  readonly originalDestination: Endpoint
  readonly tls: boolean
  /** SHA-256 of the policy in force, hex, and the rule that decided. */
  readonly policy: { readonly hash: string; readonly rule: string }
  readonly credentials: readonly Credential[]
  /** False where the catalogue says that bodies of this host are never kept (sign-in hosts). */
  readonly keepBodies: boolean
}

/** A credential seen in a request, replaced by its keyed fingerprint before it left the proxy. */
export interface Credential {
  /** Where it stood: `header:authorization`, `query:key`, `header:cookie`. */
  readonly where: string
  /** `fp_` and 32 hex digits: HMAC-SHA-256 under a key of this machine, truncated. */
  readonly fingerprint: string
}

export interface RequestEndPayload {
  /** Trailer fields as sent, if any. */
  readonly trailers?: string
}

export const OUTCOMES = [
  'complete',
  'interrupted',
  'client-aborted',
  'upstream-aborted',
  'upstream-unreachable',
  'upstream-untrusted',
  'protocol-error',
  'not-recorded',
] as const
export type Outcome = (typeof OUTCOMES)[number]

export interface EndPayload {
  readonly outcome: Outcome
  /** Where the request went in the end; absent if nowhere. */
  readonly upstream?: Endpoint
  /** The address the agent dialled was none of the name's; `upstream` was dialled instead. */
  readonly destinationMismatch?: boolean
  readonly error?: { readonly code: string; readonly message: string }
  readonly trailers?: string
  /** True after a 101: what follows in both bodies is the upgraded stream as sent. */
  readonly upgraded?: boolean
}

export interface RefusalPayload {
  readonly id: string
  readonly rule: string
  readonly reason: string
  readonly agent: Agent
  readonly client: Endpoint
  readonly originalDestination: Endpoint
  readonly serverName?: string
  readonly policy: { readonly hash: string }
}

export interface FailedPayload {
  readonly code: string
  readonly message: string
}

export type ProtocolErrorCode = 'FRAME_TOO_LONG' | 'FRAME_TOO_SHORT' | 'UNKNOWN_FRAME'

export class ProtocolError extends AnchorError<ProtocolErrorCode> {}

const KNOWN = new Set<number>(Object.values(FrameType))

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
  #pending: Buffer = Buffer.alloc(0)

  /** @throws ProtocolError on a frame that is too long, too short or of unknown type. */
  push(bytes: Buffer): Frame[] {
    let data = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes])
    const frames: Frame[] = []
    while (data.length >= 4) {
      const length = data.readUInt32BE(0)
      if (length > MAX_FRAME + FRAME_HEADER) {
        throw new ProtocolError('FRAME_TOO_LONG', `a frame of ${length} bytes`, 'Restart the worker that sent it.')
      }
      if (length < FRAME_HEADER - 4) {
        throw new ProtocolError('FRAME_TOO_SHORT', `a frame of ${length} bytes`, 'Restart the worker that sent it.')
      }
      if (data.length < 4 + length) break
      const type = data.readUInt8(4)
      if (!KNOWN.has(type)) {
        throw new ProtocolError('UNKNOWN_FRAME', `frame type ${type}`, 'Restart the worker that sent it.')
      }
      frames.push({
        type: type as FrameType,
        exchange: data.readUInt32BE(5),
        time: data.readDoubleBE(9),
        payload: data.subarray(FRAME_HEADER, 4 + length),
      })
      data = data.subarray(4 + length)
    }
    this.#pending = data
    return frames
  }
}
