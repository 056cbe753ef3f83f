/** What the ledger says of content that is gone, gathered leaf by leaf and held against the index. */
import type { DatabaseSync } from 'node:sqlite'
import { erasureOf } from '../erasure/erasure-record.ts'
import { expiredBefore } from '../index/erased.ts'
import type { LogRecord } from '../record.ts'

export interface SaidErased {
  hear(record: LogRecord, leaf: number): void
  /** By the index: the record that says so comes after the one that it speaks of. */
  isGone(row: { readonly id: string; readonly leaf: number }): boolean
  /** True where the index has of the leaves before `end`, which were heard, what they say, and no more. */
  isIn(database: DatabaseSync, end: number): boolean
}

export function saidErased(database: DatabaseSync): SaidErased {
  const erased = new Map<string, number>()
  const expired = new Map<number, number>()
  const before = expiredBefore(database)
  const find = database.prepare('SELECT 1 FROM erased WHERE id = ?')
  return {
    hear(record, leaf) {
      const erasure = erasureOf(record)
      if (erasure?.kind === 'expired' && !expired.has(erasure.before)) expired.set(erasure.before, leaf)
      if (erasure?.kind !== 'erased') return
      for (const id of erasure.ids) if (!erased.has(id)) erased.set(id, leaf)
    },
    isGone: ({ id, leaf }) => leaf < before || find.get(id) !== undefined,
    isIn: (database, end) =>
      holds(database, 'SELECT id, leaf FROM erased WHERE leaf < ?', end, erased) &&
      holds(database, 'SELECT before, leaf FROM expired WHERE leaf < ?', end, expired),
  }
}

function holds(
  database: DatabaseSync,
  sql: string,
  end: number,
  expected: ReadonlyMap<unknown, number>,
): boolean {
  const rows = database.prepare(sql).all(end)
  return (
    rows.length === expected.size &&
    rows.every((row) => {
      const [key, leaf] = Object.values(row)
      return expected.get(key) === leaf
    })
  )
}
