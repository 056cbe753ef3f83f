/** Every entry of every pack: that it opens, is what its key says, and stands where the index says. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../../base/errors.ts'
import type { Damage } from '../../ledger/damage.ts'
import { type BodyKeys, isChunkId } from '../bodies/keys.ts'
import { FORM, ID, type PackEntry, packEntryKey, parsePackEntry } from '../bodies/pack-entry.ts'
import type { PackPosition } from '../bodies/place.ts'
import { INDEX_FILE, placeOf, UNCLAIMED } from '../index/database.ts'
import { sealedName, sealedNumbers } from '../sealed/files.ts'
import { FILE_HEADER } from '../sealed/format.ts'
import { goingPath } from '../sealed/going.ts'
import { settledScan } from './settled-scan.ts'

export async function* checkPacks(
  dir: string,
  keys: BodyKeys,
  database: DatabaseSync | undefined,
): AsyncGenerator<Damage> {
  const known = (database && position(database)) ?? { pack: 0, offset: 0 }
  const there = new Set(sealedNumbers(path.join(dir, 'packs'), 'pack'))
  // Which of the two is wrong nothing tells where a pack isn't there that the index speaks of.
  if (known.pack > 0 && !there.has(known.pack)) {
    yield { file: INDEX_FILE, what: noSuchPosition(known) }
    yield { file: `packs/${sealedName('pack', known.pack)}`, what: 'the pack is missing' }
  }
  for (const { pack } of database?.prepare('SELECT DISTINCT pack FROM place').all() ?? []) {
    if (there.has(Number(pack)) || existsSync(goingPath(path.join(dir, 'packs'), 'pack', Number(pack))))
      continue
    const file = `packs/${sealedName('pack', Number(pack))}`
    yield { file: INDEX_FILE, what: `it has places in ${file}, which is not there` }
    if (Number(pack) < known.pack) yield { file, what: 'the pack is missing' }
  }
  for (const number of there) yield* checkPack(dir, number, keys, database, known)
}

async function* checkPack(
  dir: string,
  number: number,
  keys: BodyKeys,
  database: DatabaseSync | undefined,
  known: PackPosition,
): AsyncGenerator<Damage> {
  const file = `packs/${sealedName('pack', number)}`
  const rows = placesOf(database, number)
  // Before the scan, so that every row of the snapshot is of an entry that is there.
  let row = rows.next()
  let damaged = false
  let end = FILE_HEADER
  const scan = settledScan({ path: path.join(dir, file), purpose: 'pack', number }, keys.seal)
  for await (const found of scan) {
    if ('damage' in found) {
      damaged = true
      yield { file, offset: found.offset, what: found.damage }
      continue
    }
    for (; !row.done && row.value.offset < found.offset; row = rows.next()) {
      if (!damaged) yield nothingAt(row.value.offset, file)
    }
    end = found.offset + found.length
    const wrong = contentDamage(found.plain, keys)
    if (wrong !== undefined) yield { file, offset: found.offset, what: wrong }
    const { key, manifest } = packEntryKey(found.plain) ?? {}
    if (key === undefined || manifest === undefined) continue
    if (!row.done && row.value.offset === found.offset) {
      const { value } = row
      const same = key.equals(value.key) && value.length === found.length
      if (!same || !isOfRecord(database, value, manifest)) yield nothingAt(found.offset, file)
      row = rows.next()
    } else if (database !== undefined && isBefore(number, found.offset, known)) {
      if (placeOf(database, key) === undefined) {
        yield { file: INDEX_FILE, what: `nothing points at the entry at ${found.offset} of ${file}` }
      }
    }
    if (database !== undefined && wrong === undefined) yield* missingChunks(found.plain, database, file)
  }
  for (; !row.done; row = rows.next()) if (!damaged) yield nothingAt(row.value.offset, file)
  if (!damaged && number === known.pack && known.offset > end) {
    yield { file: INDEX_FILE, what: noSuchPosition(known) }
  }
}

function noSuchPosition({ pack, offset }: PackPosition): string {
  return `it says to hold everything up to ${offset} of packs/${sealedName('pack', pack)}, which has less`
}

interface PlaceRow {
  readonly key: Uint8Array
  readonly offset: number
  readonly length: number
  readonly leaf: number | null
}

/** A chunk has no record, a manifest its own or none; the record's own side is checked with the record. */
function isOfRecord(database: DatabaseSync | undefined, { key, leaf }: PlaceRow, manifest: boolean): boolean {
  if (!manifest) return leaf === null
  if (leaf === UNCLAIMED) return true
  const row = database?.prepare('SELECT bytes FROM record WHERE leaf = ?').get(leaf)
  const digest = Buffer.from(key).toString('hex')
  return row?.bytes instanceof Uint8Array && Buffer.from(row.bytes).includes(digest)
}

function* placesOf(database: DatabaseSync | undefined, pack: number): Generator<PlaceRow> {
  if (database === undefined) return
  const sql = 'SELECT key, "offset", length, leaf FROM place WHERE pack = ? ORDER BY "offset"'
  for (const row of database.prepare(sql).iterate(pack)) yield row as unknown as PlaceRow
}

function position(database: DatabaseSync): PackPosition | undefined {
  return database.prepare('SELECT pack, "offset" FROM position').get() as unknown as PackPosition | undefined
}

function isBefore(pack: number, offset: number, known: PackPosition): boolean {
  return pack < known.pack || (pack === known.pack && offset < known.offset)
}

function nothingAt(offset: number, file: string): Damage {
  return { file: INDEX_FILE, what: `a place at ${offset} of ${file} is not what stands there` }
}

function contentDamage(plain: Buffer, keys: BodyKeys): string | undefined {
  let entry: PackEntry
  try {
    entry = parsePackEntry(plain)
  } catch (error) {
    return messageOf(error)
  }
  if (entry.kind === 'stead') return undefined
  if (entry.kind === 'chunk') {
    return isChunkId(keys, entry.bytes, entry.key) ? undefined : 'a chunk that is not what its id says'
  }
  const { form, salt, content } = entry.manifest
  if (form !== FORM.inline) return undefined
  const digest = createHash('sha256').update(salt).update(content).digest()
  return digest.equals(entry.key) ? undefined : 'a part that is not what its digest says'
}

/** Chunks of a part whose own place the index knows; a place that it doesn't know yet was just written. */
function* missingChunks(plain: Buffer, database: DatabaseSync, file: string): Generator<Damage> {
  const entry = parsePackEntry(plain)
  if (entry.kind !== 'manifest' || entry.manifest.form === FORM.inline) return
  if (placeOf(database, entry.key) === undefined) return
  const { content } = entry.manifest
  for (let at = 0; at + ID <= content.length; at += ID) {
    if (placeOf(database, content.subarray(at, at + ID)) !== undefined) continue
    yield { file, what: `a chunk of part ${entry.key.toString('hex')} is missing` }
    return
  }
}
