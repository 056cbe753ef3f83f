/**
 * A record as the leaf's bytes: JCS, at most MAX_LEAF whatever is in it. Long strings and lists are cut, the
 * longest first, so that no path, model name or error message of an attacker keeps a record out of the log.
 */
import canonicalize from 'canonicalize'
import { type LogRecord, MAX_LEAF } from '../record.ts'

/** Bytes a string may have in JSON, and entries a list; the last step fits whatever the first couldn't. */
const STEPS = [
  { bytes: 2048, items: 128 },
  { bytes: 512, items: 32 },
  { bytes: 256, items: 16 },
  { bytes: 128, items: 8 },
  // Not below 66: digests and ids stay whole.
  { bytes: 72, items: 2 },
] as const
const ELLIPSIS = '…'

export function encodeRecord(record: LogRecord): Buffer {
  const whole = tryWhole(record)
  if (whole !== undefined) return whole
  for (const { bytes, items } of STEPS) {
    const text = canonicalize(cut(record, bytes, items))
    if (text !== undefined && Buffer.byteLength(text) <= MAX_LEAF) return Buffer.from(text)
  }
  throw new Error('a record of more keys than its schema has')
}

/** Nearly every record fits as it is. A lone surrogate or a number that is none makes canonicalize throw. */
function tryWhole(record: LogRecord): Buffer | undefined {
  try {
    const bytes = Buffer.from(canonicalize(record) ?? '')
    return bytes.length > 0 && bytes.length <= MAX_LEAF ? bytes : undefined
  } catch {
    return undefined
  }
}

function cut(value: unknown, bytes: number, items: number): unknown {
  if (typeof value === 'string') return cutString(value, bytes)
  if (typeof value === 'number') return Number.isFinite(value) ? value : 0
  if (Array.isArray(value)) return value.slice(0, items).map((entry) => cut(entry, bytes, items))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined)
  return Object.fromEntries(
    entries.map(([key, entry]) => [
      key,
      key === 'detail' ? cutDetail(entry, bytes, items) : cut(entry, bytes, items),
    ]),
  )
}

/** The one object whose keys aren't the schema's. */
function cutDetail(value: object, bytes: number, items: number): unknown {
  const entries = Object.entries(value).slice(0, items)
  return Object.fromEntries(
    entries.map(([key, entry]) => [cutString(key, Math.min(bytes, 128)), cut(entry, bytes, items)]),
  )
}

function cutString(value: string, bytes: number): string {
  const whole = value.length > bytes ? value.slice(0, bytes) : value
  const text = whole.toWellFormed()
  if (text.length === value.length && jsonBytes(text) <= bytes) return text
  let end = Math.min(text.length, bytes)
  while (end > 0 && jsonBytes(text.slice(0, end)) + ELLIPSIS.length + 2 > bytes) end = Math.floor(end * 0.9)
  return text.slice(0, end).toWellFormed() + ELLIPSIS
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text))
}
