/** What the index says before and after a change to its bytes. */
import { join } from 'node:path'
import { INDEX_FILE, openIndexDatabase } from '../../../daemon/recorder/index/database.ts'
import type { Place } from './place.ts'

/** The index and its WAL are one database. */
export const INDEX = /^recorder\/index\.sqlite(-wal)?$/

export type Rows = readonly (readonly string[])[]

/** What the index says, read as `verify` reads it; undefined where it can't be read. */
export function indexRows(place: Place): Rows | undefined {
  let database: ReturnType<typeof openIndexDatabase>
  try {
    database = openIndexDatabase(join(place.state, 'recorder', INDEX_FILE))
    const all = (sql: string) =>
      database
        ?.prepare(sql)
        .all()
        .map((row) => JSON.stringify(row)) ?? []
    const tables = ['record', 'place', 'erased', 'expired']
    return database && tables.map((table) => all(`SELECT * FROM ${table}`))
  } catch {
    return undefined
  } finally {
    database?.close()
  }
}

/**
 * Whether the index can be believed without a word: it says what it said (SQLite keeps bytes that mean nothing: free
 * space, superseded frames), or, cut at the end of a commit as a power loss would, less of it.
 */
export function isHarmless(rows: Rows | undefined, before: Rows, cut: boolean): boolean {
  if (rows === undefined) return false
  return rows.every((list, i) => {
    const said = new Set(before[i])
    return list.every((row) => said.has(row)) && (cut || list.length === said.size)
  })
}
