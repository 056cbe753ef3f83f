/** A head without one of its fields; every other byte as it was sent. */
import type { RequestHead, ResponseHead } from './head.ts'

const CRLF = 2

/**
 * @param raw the head as sent, with its empty line: one byte a character (latin1)
 * @param head the same, parsed
 * @param name lower case
 * @returns `raw` itself where the field isn't there
 */
export function withoutField(raw: Buffer, head: RequestHead | ResponseHead, name: string): Buffer {
  if (!head.fields.some((field) => field.name === name)) return raw
  const kept: Buffer[] = []
  let from = 0
  let at = head.startLine.length + CRLF
  for (const field of head.fields) {
    const end = at + field.line.length + CRLF
    if (field.name === name) {
      kept.push(raw.subarray(from, at))
      from = end
    }
    at = end
  }
  kept.push(raw.subarray(from))
  return Buffer.concat(kept)
}
