/** Every row of index.sqlite against the ledger's entry it was made from. */
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Damage } from '../../ledger/damage.ts'
import { WAL_DIRECTORY } from '../../ledger/files.ts'
import { segmentName } from '../../ledger/wal-frame.ts'
import { listSegments } from '../../ledger/wal-replay.ts'
import { INDEX_FILE, SCHEMA } from '../index/database.ts'
import { parseLeaf, type Row, rowOf, storedParts } from '../index/row.ts'
import type { LogRecord } from '../record.ts'
import { sealedNumbers } from '../sealed/files.ts'
import { type SaidErased, saidErased } from './said-erased.ts'
import { type StoredLeaves, storedLeaves } from './stored-leaves.ts'

const LEDGER = 'ledger'

export function* checkIndex(dir: string, database: DatabaseSync): Generator<Damage> {
  const stopped = isStopped(dir)
  for (const { integrity_check: what } of database.prepare('PRAGMA integrity_check(10)').all()) {
    if (what !== 'ok') yield { file: INDEX_FILE, what: String(what) }
  }
  const odd = oddDefinition(database)
  if (odd !== undefined) yield { file: INDEX_FILE, what: `it defines ${odd} otherwise than it was made` }
  const leaves = storedLeaves(path.join(dir, LEDGER))
  const said = saidErased(database)
  let next = 0
  for (const found of database.prepare('SELECT * FROM record ORDER BY leaf').iterate()) {
    const row = found as unknown as Row
    if (row.leaf !== next) yield { file: INDEX_FILE, what: `leaves ${next} to ${row.leaf - 1} have no row` }
    next = row.leaf + 1
    const leaf = leaves.get(row.leaf)
    if (leaf === 'unreadable') continue
    if (leaf === 'absent') {
      yield lost(dir, row.leaf)
      return
    }
    yield* checkRow(database, row, leaf, said)
  }
  if (!said.isIn(database, next)) {
    yield { file: INDEX_FILE, what: 'what it says of erased content is not what the ledger says' }
  }
  yield* checkEnd(dir, next, leaves, stopped)
}

function* checkRow(database: DatabaseSync, row: Row, leaf: Uint8Array, said: SaidErased): Generator<Damage> {
  const record = parsed(leaf)
  if (record === undefined) {
    yield { file: INDEX_FILE, what: `leaf ${row.leaf} is no record` }
    return
  }
  const wrong = difference(row, rowOf(row.leaf, leaf, record))
  if (wrong !== undefined) {
    yield { file: INDEX_FILE, what: `the row of leaf ${row.leaf} differs from the ledger in ${wrong}` }
  }
  said.hear(record, row.leaf)
  if (said.isGone(row)) return
  for (const { digest } of storedParts(record)) {
    if (leafOf(database, Buffer.from(digest, 'hex')) === row.leaf) continue
    yield {
      file: INDEX_FILE,
      what: `part ${digest} of record ${record.id} has no place in a pack, and was not erased`,
    }
  }
}

/** A row is written when its leaf is durable, so the ledger has lost what the index has and it hasn't. */
function lost(dir: string, leaf: number): Damage {
  const last = listSegments(path.join(dir, LEDGER)).at(-1)
  const file = path.join(LEDGER, WAL_DIRECTORY, last === undefined ? '' : segmentName(last))
  return { file, what: `leaf ${leaf}, of which ${INDEX_FILE} has a row, is neither in tiles nor in the WAL` }
}

/** A recorder at work is a moment behind, and so may one be that was killed: the next start adds the rows. */
function* checkEnd(dir: string, rows: number, leaves: StoredLeaves, stopped: boolean): Generator<Damage> {
  const count = leaves.count()
  if (count === undefined || rows >= count || !stopped || !isStopped(dir)) return
  yield { file: INDEX_FILE, what: `leaves ${rows} to ${count - 1} have no row` }
}

/** The journal has a segment from the recorder's start to its orderly end. */
function isStopped(dir: string): boolean {
  return sealedNumbers(path.join(dir, 'journal'), 'journal').length === 0
}

/** The name of a table or index whose definition isn't that of the schema. */
function oddDefinition(database: DatabaseSync): string | undefined {
  const fresh = new DatabaseSync(':memory:')
  try {
    fresh.exec(SCHEMA)
    const expected = definitions(fresh)
    const actual = definitions(database)
    for (const name of new Set([...expected.keys(), ...actual.keys()])) {
      if (expected.get(name) !== actual.get(name)) return name
    }
    return undefined
  } finally {
    fresh.close()
  }
}

function definitions(database: DatabaseSync): Map<string, string> {
  const rows = database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema').all()
  return new Map(rows.map((row) => [String(row.name), JSON.stringify(Object.values(row))]))
}

function leafOf(database: DatabaseSync, digest: Buffer): unknown {
  return database.prepare('SELECT leaf FROM place WHERE key = ? ORDER BY pack DESC LIMIT 1').get(digest)?.leaf
}

function parsed(leaf: Uint8Array): LogRecord | undefined {
  try {
    return parseLeaf(leaf)
  } catch {
    return undefined
  }
}

function difference(row: Row, expected: Row): string | undefined {
  for (const [column, value] of Object.entries(expected)) {
    const actual = row[column as keyof Row]
    const same =
      value instanceof Uint8Array ? Buffer.from(value).equals(actual as Uint8Array) : actual === value
    if (!same) return column
  }
  return undefined
}
