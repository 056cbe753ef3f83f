/** A body taken apart into the texts of its events, and put together again with others in their places. */
import type { StreamText } from '../../../policies/stream-content.ts'
import type { Framing } from '../derive/framing.ts'
import { framedAws } from './framed-aws.ts'
import { framedLines } from './framed-lines.ts'
import { framedSse } from './framed-sse.ts'

export interface Framed {
  readonly texts: readonly StreamText[]
  /** @param texts one for each, none with more lines than that */
  with(texts: readonly string[]): Buffer
}

const framedArray = (bytes: Buffer): Framed => ({
  texts: [{ text: bytes.toString('utf8'), kind: 'array' }],
  with: ([text = '']) => Buffer.from(text),
})

/** @returns undefined where it can't be looked into */
export function framed(framing: Framing, bytes: Buffer): Framed | undefined {
  if (framing === 'aws') return framedAws(bytes)
  // Connect carries the vendors' own protobuf.
  if (framing === 'connect' || !isText(bytes)) return undefined
  return { sse: framedSse, lines: framedLines, array: framedArray }[framing](bytes)
}

/** Binary framings (gRPC, Connect) may be UTF-8 by chance, but their lengths have zeros. */
export const isText = (bytes: Buffer): boolean =>
  !bytes.includes(0) && Buffer.from(bytes.toString('utf8')).equals(bytes)
