/**
 * The plaintext of a journal entry: frames of one exchange, in the order they came.
 *
 *   exchange id (16) | (u8 type | f64be time | u32be length | payload)*
 *
 * The journal knows one more mark than the wire: `Durable`, the time at which the request was acknowledged. An entry
 * whose content was erased has the id 0 and zeros behind it.
 */
import { RecorderError } from '../errors.ts'
import type { FrameType } from '../protocol.ts'

export interface JournalFrame {
  readonly type: FrameType
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly payload: Buffer
}

const ID = 16
const MARK = 1 + 8 + 4
/** Payload bytes after which an exchange's frames go on in another entry. */
const ENTRY_AT = 256 << 10

export function idBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}

function idText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** Of an entry that says nothing. */
export const BLANK_ID = idText(Buffer.alloc(ID))

/** Whose entry this is. */
export function entryId(plain: Buffer): string {
  return idText(plain.subarray(0, ID))
}

/** In the place of an entry of this length. */
export function blankEntry(length: number): Buffer {
  return Buffer.alloc(length)
}

/** Frames as the parts of one or more entries. */
export function encodeFrames(id: string, frames: readonly JournalFrame[]): Buffer[][] {
  const entries: Buffer[][] = []
  const start = idBytes(id)
  let parts: Buffer[] = [start]
  let size = 0
  for (const frame of frames) {
    if (size + frame.payload.length > ENTRY_AT && size > 0) {
      entries.push(parts)
      parts = [start]
      size = 0
    }
    const mark = Buffer.allocUnsafe(MARK)
    mark.writeUInt8(frame.type, 0)
    mark.writeDoubleBE(frame.time, 1)
    mark.writeUInt32BE(frame.payload.length, 9)
    parts.push(mark, frame.payload)
    size += frame.payload.length
  }
  entries.push(parts)
  return entries
}

/** @throws RecorderError DAMAGED */
export function decodeFrames(plain: Buffer): { id: string; frames: JournalFrame[] } {
  const frames: JournalFrame[] = []
  if (entryId(plain) === BLANK_ID) return { id: BLANK_ID, frames }
  let at = ID
  while (at < plain.length) {
    const length = at + MARK <= plain.length ? plain.readUInt32BE(at + 9) : Number.POSITIVE_INFINITY
    if (at + MARK + length > plain.length) throw malformed()
    frames.push({
      type: plain.readUInt8(at) as FrameType,
      time: plain.readDoubleBE(at + 1),
      payload: plain.subarray(at + MARK, at + MARK + length),
    })
    at += MARK + length
  }
  if (at !== plain.length) throw malformed()
  return { id: entryId(plain), frames }
}

function malformed(): RecorderError {
  return new RecorderError(
    'DAMAGED',
    'a journal entry has an unknown form',
    'It was written by a newer version: upgrade before you start again.',
  )
}
