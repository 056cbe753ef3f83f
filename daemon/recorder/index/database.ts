/**
 * index.sqlite: what the ledger and the packs hold, arranged for lookups. It can be deleted at any time and
 * is made again from them.
 */
import { existsSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { Place } from '../bodies/place.ts'

export const INDEX_FILE = 'index.sqlite'
/** Raised with every change of the tables; an index of another version is made anew. */
export const INDEX_VERSION = 1

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
  CREATE TABLE IF NOT EXISTS place (
    key BLOB PRIMARY KEY,
    pack INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS position (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    pack INTEGER NOT NULL,
    offset INTEGER NOT NULL
  ) STRICT;
`

/** Read-only; undefined where there is no index yet. */
export function openIndexDatabase(file: string): DatabaseSync | undefined {
  if (!existsSync(file)) return undefined
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5000 })
  const version = database.prepare('PRAGMA user_version').get() as { user_version: number }
  if (version.user_version === INDEX_VERSION) return database
  database.close()
  return undefined
}

export function placeOf(database: DatabaseSync, key: Buffer): Omit<Place, 'key'> | undefined {
  const row = database.prepare('SELECT pack, "offset", length FROM place WHERE key = ?').get(key)
  return row as unknown as Omit<Place, 'key'> | undefined
}
