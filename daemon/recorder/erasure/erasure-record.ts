/**
 * What the log says of content that is gone. The record comes first and the removal after it: so what is missing is
 * always accounted for, and what a crash kept from being removed is removed by the next start. Pure.
 */
import { randomUUIDv7 } from 'node:crypto'
import { rfc3339 } from '../finalise/time.ts'
import type { AuditRecord, LogRecord } from '../record.ts'

const ERASED = 'content-erased'
const EXPIRED = 'content-expired'

/** Ids that one record names: with all else it stays below the longest leaf. */
export const MOST_IDS = 64

/** Who asked for an erasure. */
export interface Eraser {
  /** Of the process that asked, by the kernel. */
  readonly uid: number
  /** Who had logged in, by the kernel's audit; absent where nobody had, as in a service. */
  readonly loginUid?: number | undefined
}

export type Erasure =
  /** The content of these records. */
  | { readonly kind: 'erased'; readonly ids: readonly string[] }
  /** The content of all exchanges before this leaf. */
  | { readonly kind: 'expired'; readonly before: number }

export interface Amount {
  readonly records: number
  readonly parts: number
}

/** Why content went by the retention. */
export type Expiry = 'age' | 'size' | 'disk'

export function erasedRecord(ids: readonly string[], by: Eraser, parts: number): AuditRecord {
  // Named one by one: who asks over IPC gives its whole message.
  const login = by.loginUid === undefined ? {} : { loginUid: by.loginUid }
  return audit(ERASED, { records: ids.join(' '), count: ids.length, parts, uid: by.uid, ...login })
}

export function expiredRecord(before: number, reason: Expiry, { records, parts }: Amount): AuditRecord {
  return audit(EXPIRED, { before, reason, records, parts })
}

function audit(event: string, detail: AuditRecord['detail']): AuditRecord {
  return { v: 1, id: randomUUIDv7(), time: rfc3339(Date.now()), kind: 'audit', event, detail }
}

export function erasureOf(record: LogRecord): Erasure | undefined {
  if (record.kind !== 'audit') return undefined
  const { event, detail } = record
  if (event === ERASED && typeof detail.records === 'string') {
    return { kind: 'erased', ids: detail.records.split(' ') }
  }
  const { before } = detail
  if (event === EXPIRED && typeof before === 'number' && Number.isSafeInteger(before)) {
    return { kind: 'expired', before }
  }
  return undefined
}
