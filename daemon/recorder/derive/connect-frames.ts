/**
 * Frames of the Connect protocol (connectrpc.com/docs/protocol): flags u8 | length u32be | message. The messages are
 * the vendors' own protobuf; only the last frame, which ends the stream, is JSON of a known form.
 */
import { gunzipSync } from 'node:zlib'
import { parseBounded } from './bounded-json.ts'
import type { EventReader } from './event-reader.ts'

export interface ConnectFrame {
  /** Whether it ends the stream. */
  readonly last: boolean
  /** That frame's `{error?: {code, message}, metadata?}`. */
  readonly end?: unknown
}

const HEADER = 5
const COMPRESSED = 1
const END = 2
const MAX_END = 1 << 20

export const connectFrames: EventReader = (bytes, take) => {
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const flags = bytes[at]!
    const size = bytes.readUInt32BE(at + 1)
    if (flags > (COMPRESSED | END)) return 'no Connect frames'
    const end = at + HEADER + size
    if (end > bytes.length) return undefined
    const last = (flags & END) !== 0
    const frame: ConnectFrame = { last, ...(last && { end: endOf(bytes.subarray(at + HEADER, end), flags) }) }
    take(frame, end)
    // Nothing follows it: a body full of them would unpack as many bombs.
    if (last) return undefined
    at = end
  }
  return undefined
}

function endOf(message: Buffer, flags: number): unknown {
  const parsed = parseBounded((flags & COMPRESSED) === 0 ? message : unzipped(message))
  return 'value' in parsed ? parsed.value : undefined
}

function unzipped(message: Buffer): Buffer {
  try {
    return gunzipSync(message, { maxOutputLength: MAX_END })
  } catch {
    return Buffer.alloc(0)
  }
}
