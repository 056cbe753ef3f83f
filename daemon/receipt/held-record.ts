/** What the records in a receipt are, and whether the bodies beside them are those that they commit to. */

import canonicalize from 'canonicalize'
import { concat, sha256, toHex, utf8 } from '#platform'
import { decodeBase64 } from '../ledger/encoding.ts'
import { LogRecord } from '../recorder/record.ts'
import { partsOf } from '../recorder/record-parts.ts'
import type { Finding } from './findings.ts'
import type { Body, HeldRecord } from './receipt.ts'

/** The record in a leaf; undefined for one of no schema that is known here, or not in its one spelling. */
export function readRecord(text: string): LogRecord | undefined {
  try {
    const document: unknown = JSON.parse(text)
    const parsed = LogRecord.safeParse(document)
    // A member named twice, or a number written otherwise, is read differently by different readers.
    return parsed.success && canonicalize(document) === text ? parsed.data : undefined
  } catch {
    return undefined
  }
}

export function recordFinding(check: string, text: string, record: LogRecord | undefined): Finding {
  if (record !== undefined) {
    const detail = `${record.kind} ${record.id} of ${record.time}, schema v${record.v}`
    return { check, result: 'proved', detail }
  }
  const leaf = utf8(text)
  const detail = `${leaf.length} bytes, SHA-256 ${toHex(sha256(leaf))}, of no schema that this version knows`
  return { check, result: 'not-checked', detail }
}

/**
 * A finding for each part that the receipt brings, and one for those that it doesn't.
 * @param of what is said behind the part's name, where there are several records
 */
export function bodyFindings(
  { bodies = [] }: HeldRecord,
  record: LogRecord | undefined,
  of: string,
): Finding[] {
  if (record === undefined) {
    const detail = 'bodies are here, but no record that says which they are'
    return bodies.length === 0 ? [] : [{ check: `bodies${of}`, result: 'not-checked', detail }]
  }
  const parts = partsOf(record)
  const found = bodies.map((body): Finding => {
    const check = `body ${body.part}${of}`
    const digest = parts.find(({ name }) => name === body.part)?.part.digest
    if (digest === undefined) return { check, result: 'failed', detail: 'the record has no such part' }
    return { check, ...opened(body, digest) }
  })
  const absent = parts.map(({ name }) => name).filter((name) => bodies.every(({ part }) => part !== name))
  if (absent.length === 0) return found
  const detail = `not in the receipt, only their salted digests: ${absent.join(', ')}`
  return [...found, { check: `bodies${of}`, result: 'not-checked', detail }]
}

function opened(body: Body, digest: string): Omit<Finding, 'check'> {
  try {
    const { salt, bytes } = bytesOf(body)
    if (toHex(sha256(concat([salt, bytes]))) === digest)
      return { result: 'proved', detail: `${bytes.length} bytes match the salted digest in the record` }
    return {
      result: 'failed',
      detail: `${bytes.length} bytes that are not those of the digest in the record`,
    }
  } catch {
    return { result: 'failed', detail: 'its salt or its bytes are not canonical base64' }
  }
}

/** @throws LedgerError MALFORMED_ENCODING */
export const bytesOf = ({ salt, bytes }: Body) => ({ salt: decodeBase64(salt), bytes: decodeBase64(bytes) })
