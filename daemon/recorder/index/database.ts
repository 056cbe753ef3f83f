/**
 * index.sqlite: what the ledger and the packs hold, arranged for lookups. It can be deleted at any time and
 * is made again from them.
 */
import { existsSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { messageOf } from '../../base/errors.ts'
import type { Span } from '../bodies/place.ts'
import { RecorderError } from '../errors.ts'

export const INDEX_FILE = 'index.sqlite'
/** SQLite's write-ahead log of it; gone once the recorder has closed the index in order. */
export const INDEX_WAL = `${INDEX_FILE}-wal`
/** Raised with every change of the tables; an index of another version is made anew. */
export const INDEX_VERSION = 2

/** Leaf of a manifest that no record names: its exchange was begun again after an error. */
export const UNCLAIMED = -1

export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS record (
    leaf INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time TEXT NOT NULL,
    kind TEXT NOT NULL,
    provider TEXT,
    uid INTEGER,
    model TEXT,
    status INTEGER,
    outcome TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    bytes BLOB NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS record_kind ON record (kind, leaf);
  CREATE INDEX IF NOT EXISTS record_provider ON record (provider, leaf);
  CREATE INDEX IF NOT EXISTS record_uid ON record (uid, leaf);
  -- leaf: of a manifest the record that it is a part of, ${UNCLAIMED} where none names it; NULL for a chunk.
  CREATE TABLE IF NOT EXISTS place (
    key BLOB NOT NULL,
    pack INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    leaf INTEGER,
    PRIMARY KEY (key, pack)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS place_part ON place (pack, leaf) WHERE leaf IS NOT NULL;
  -- leaf: the audit record that says so.
  CREATE TABLE IF NOT EXISTS erased (
    id TEXT PRIMARY KEY,
    leaf INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- The content of all exchanges before that leaf has gone by the retention.
  CREATE TABLE IF NOT EXISTS expired (
    before INTEGER PRIMARY KEY,
    leaf INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS position (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    pack INTEGER NOT NULL,
    offset INTEGER NOT NULL
  ) STRICT;
`

/** Read-only; undefined where there is no index yet. @throws RecorderError DAMAGED */
export function openIndexDatabase(file: string): DatabaseSync | undefined {
  // SQLite would take an empty file for a new database, and remove what stands in its WAL.
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) return undefined
  // Without a WAL nobody writes; SQLite would make one all the same, and a reader can't remove it again
  // (sqlite.org/wal.html#readonly), unless told that the file doesn't change.
  const closed = !existsSync(`${file}-wal`)
  const place = closed ? new URL(`${pathToFileURL(file).href}?immutable=1`) : file
  return readable(file, () => {
    const database = new DatabaseSync(place, { readOnly: true, timeout: 5000 })
    try {
      const version = database.prepare('PRAGMA user_version').get() as { user_version: number }
      if (version.user_version === INDEX_VERSION) return database
    } catch (error) {
      database.close()
      throw error
    }
    database.close()
    return undefined
  })
}

/** Runs a query of the index. @throws RecorderError DAMAGED where SQLite can't make sense of `file` */
export function readable<T>(file: string, query: () => T): T {
  try {
    return query()
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_SQLITE_ERROR') throw error
    throw new RecorderError(
      'DAMAGED',
      `${file} can't be read: ${messageOf(error)}`,
      'Stop the gateway, remove this file and those beside it that begin with its name, and start again: the ' +
        'index is made anew from the ledger and the packs.',
      error,
    )
  }
}

/** The newest where it stands in several packs. */
export function placeOf(database: DatabaseSync, key: Buffer): Span | undefined {
  const row = database
    .prepare('SELECT pack, "offset", length FROM place WHERE key = ? ORDER BY pack DESC LIMIT 1')
    .get(key)
  return row as unknown as Span | undefined
}
