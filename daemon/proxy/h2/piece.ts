/** What a request on a stream is made of, as it goes to the provider. */
import { DEFAULT_FRAME_SIZE, FLAG, FRAME_HEADER, frame, TYPE } from './frame.ts'
import type { DataFrame, HeaderList } from './receiver.ts'

export type Piece =
  | { readonly kind: 'head'; readonly list: HeaderList }
  | DataPiece
  /** `text` as a trailer section of HTTP/1.1. */
  | { readonly kind: 'trailers'; readonly list: HeaderList; readonly text: string }

export interface DataPiece {
  readonly kind: 'data'
  readonly data: DataFrame
  /** The agent has the room for it back, or never gave it up. */
  readonly owed: boolean
}

/** DATA of our own making; its stream is written when it goes out. */
export function dataOf(content: Buffer, endStream: boolean): DataFrame {
  const flags = endStream ? FLAG.endStream : 0
  const raw = frame(TYPE.data, flags, 0, content)
  const payload = raw.subarray(FRAME_HEADER)
  return { frame: { type: TYPE.data, flags, stream: 0, payload, raw }, content: payload, endStream }
}

/** DATA of our own making, in frames of a size that every peer takes. @param ends the last of them ends the stream */
export function inFrames(content: Buffer, ends: boolean, owed: boolean): DataPiece[] {
  const pieces: DataPiece[] = []
  for (let at = 0; at === 0 || at < content.length; at += DEFAULT_FRAME_SIZE) {
    const end = Math.min(content.length, at + DEFAULT_FRAME_SIZE)
    const data = dataOf(content.subarray(at, end), ends && end === content.length)
    pieces.push({ kind: 'data', data, owed })
  }
  return pieces
}
