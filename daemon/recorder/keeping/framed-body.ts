/** A streamed body's events, by its framing. */
import type { Framing } from '../derive/framing.ts'
import { type Framed, isText } from './framed.ts'
import { framedAws } from './framed-aws.ts'
import { framedLines } from './framed-lines.ts'
import { framedSse } from './framed-sse.ts'

const framedArray = (bytes: Buffer): Framed => ({
  texts: [{ text: bytes.toString('utf8'), kind: 'array' }],
  with: ([text = '']) => Buffer.from(text),
})

/** @returns undefined where it can't be looked into */
export function framedBody(framing: Framing, bytes: Buffer): Framed | undefined {
  if (framing === 'aws') return framedAws(bytes)
  // Connect carries the vendors' own protobuf.
  if (framing === 'connect' || !isText(bytes)) return undefined
  return { sse: framedSse, lines: framedLines, array: framedArray }[framing](bytes)
}
