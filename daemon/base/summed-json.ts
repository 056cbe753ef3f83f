/**
 * JSON state files that carry the checksum of their own bytes, so that a byte that flipped is told from what was
 * written, whatever it means. It finds damage; against who would forge the file the chain and the log stand. Pure.
 */
import { createHash } from 'node:crypto'

/** One line: the document's fields, then `sum`. */
export function formatSummed(document: object): Buffer {
  const sum = createHash('sha256').update(JSON.stringify(document)).digest('hex')
  return Buffer.from(`${JSON.stringify({ ...document, sum })}\n`)
}

/** The document without its sum; accepts exactly what {@link formatSummed} writes. @throws Error for all else */
export function parseSummed(bytes: Buffer): object {
  const value: unknown = JSON.parse(bytes.toString('utf8'))
  if (typeof value === 'object' && value !== null) {
    const { sum, ...document } = value as Record<string, unknown>
    if (formatSummed(document).equals(bytes)) return document
  }
  throw new Error('its checksum is not that of its content')
}
