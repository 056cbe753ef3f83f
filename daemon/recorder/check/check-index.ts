/** Every row of index.sqlite against the ledger's entry it was made from. */
import path from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Damage } from '../../ledger/damage.ts'
import { openReader } from '../../ledger/reader.ts'
import { TILE_WIDTH, widthAt } from '../../ledger/tile-path.ts'
import { readEntries } from '../../ledger/tile-store.ts'
import { INDEX_FILE, placeOf } from '../index/database.ts'
import { parseLeaf, type Row, rowOf } from '../index/row.ts'
import type { LogRecord, Part } from '../record.ts'

export function* checkIndex(dir: string, database: DatabaseSync): Generator<Damage> {
  for (const { integrity_check: what } of database.prepare('PRAGMA integrity_check(10)').all()) {
    if (what !== 'ok') yield { file: INDEX_FILE, what: String(what) }
  }
  const entry = entries(path.join(dir, 'ledger'))
  let next = 0
  for (const found of database.prepare('SELECT * FROM record ORDER BY leaf').iterate()) {
    const row = found as unknown as Row
    if (row.leaf !== next) yield { file: INDEX_FILE, what: `leaves ${next} to ${row.leaf - 1} have no row` }
    next = row.leaf + 1
    const leaf = entry(row.leaf)
    if (leaf === undefined) continue
    const record = parsed(leaf)
    if (record === undefined) {
      yield { file: INDEX_FILE, what: `leaf ${row.leaf} is no record` }
      continue
    }
    const wrong = difference(row, rowOf(row.leaf, leaf, record))
    if (wrong !== undefined) {
      yield { file: INDEX_FILE, what: `the row of leaf ${row.leaf} differs from the ledger in ${wrong}` }
    }
    for (const { digest } of storedParts(record)) {
      if (placeOf(database, Buffer.from(digest, 'hex')) !== undefined) continue
      yield { file: INDEX_FILE, what: `part ${digest} of record ${record.id} has no place in a pack` }
    }
  }
}

function parsed(leaf: Uint8Array): LogRecord | undefined {
  try {
    return parseLeaf(leaf)
  } catch {
    return undefined
  }
}

function storedParts(record: LogRecord): Part[] {
  if (record.kind !== 'exchange') return []
  const { request, response } = record
  const parts = [request.head, request.body, ...(response ? [response.head, response.body] : [])]
  return parts.filter(({ stored }) => stored)
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

/** Leaves under the newest checkpoint; undefined behind it, and where the ledger itself is damaged. */
function entries(dir: string): (leaf: number) => Uint8Array | undefined {
  const size = newestSize(dir)
  let bundle: bigint | undefined
  let loaded: readonly { readonly bytes: Uint8Array }[] = []
  return (leaf) => {
    if (BigInt(leaf) >= size) return undefined
    const wanted = BigInt(leaf) / BigInt(TILE_WIDTH)
    if (wanted !== bundle) {
      bundle = wanted
      try {
        loaded = readEntries(dir, wanted, widthAt('entries', wanted, size))
      } catch {
        // The ledger's own check names it.
        loaded = []
      }
    }
    return loaded[leaf % TILE_WIDTH]?.bytes
  }
}

function newestSize(dir: string): bigint {
  try {
    return openReader(dir).checkpoint()?.size ?? 0n
  } catch {
    return 0n
  }
}
