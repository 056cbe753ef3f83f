/** Newline-delimited JSON: a text a line. */
import type { Framed } from './framed.ts'

export function framedLines(bytes: Buffer): Framed {
  const texts = bytes
    .toString('utf8')
    .split('\n')
    .map((text) => ({ text, kind: 'line' }))
  return { texts, with: (lines) => Buffer.from(lines.join('\n')) }
}
