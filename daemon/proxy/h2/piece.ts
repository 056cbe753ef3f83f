/** What a request on a stream is made of, as it goes to the provider. */
import { FLAG, FRAME_HEADER, frame, TYPE } from './frame.ts'
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
