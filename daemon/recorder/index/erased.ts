/** What the index knows of content that is gone. */
import type { DatabaseSync } from 'node:sqlite'

/** The content of all exchanges before this leaf has gone by the retention. */
export function expiredBefore(database: DatabaseSync): number {
  return Number(database.prepare('SELECT max(before) AS before FROM expired').get()?.before ?? 0)
}

/** Leaf of the audit record that says why the content of a record is gone; undefined where none does. */
export function goneBy(database: DatabaseSync, id: string, leaf: number): number | undefined {
  const erased = database.prepare('SELECT leaf FROM erased WHERE id = ?').get(id)
  if (erased !== undefined) return Number(erased.leaf)
  const expired = database
    .prepare('SELECT leaf FROM expired WHERE before > ? ORDER BY before LIMIT 1')
    .get(leaf)
  return expired === undefined ? undefined : Number(expired.leaf)
}
