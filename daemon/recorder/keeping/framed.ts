/** A body taken apart into the texts of its events, and put together again with others in their places. */
import type { StreamText } from '../../../policies/stream-content.ts'

export interface Framed {
  readonly texts: readonly StreamText[]
  /** @param texts one for each, none with more lines than that */
  with(texts: readonly string[]): Buffer
}

/** Binary framings (gRPC, Connect) may be UTF-8 by chance, but their lengths have zeros. */
export const isText = (bytes: Buffer): boolean =>
  !bytes.includes(0) && Buffer.from(bytes.toString('utf8')).equals(bytes)
