/**
 * A pack is written anew without what was erased. The new one is made in a directory of its own and has its name
 * only when it is whole and on disk; its first entry says in whose stead it stands, so a crash between the steps
 * leaves either the old pack alone, or both with the word that the old one goes.
 */
import path from 'node:path'
import { setImmediate as otherWork } from 'node:timers/promises'
import { makeDirectory, moveFile, removeDirectory } from '../../base/durable/files.ts'
import type { BodyKeys } from '../bodies/keys.ts'
import { FORM, ID, packEntryKey, parsePackEntry, steadEntry } from '../bodies/pack-entry.ts'
import { scanPlaces, steadOf } from '../bodies/pack-store.ts'
import type { Place } from '../bodies/place.ts'
import { RecorderError } from '../errors.ts'
import { UNCLAIMED } from '../index/database.ts'
import type { IndexWriter } from '../index/index-writer.ts'
import { sealedName, sealedNumbers } from '../sealed/files.ts'
import { SealedReader } from '../sealed/sealed-reader.ts'
import { SealedWriter } from '../sealed/sealed-writer.ts'
import { dropPack, type PackFiles, removePlaces } from './drop-pack.ts'

export interface RewriteFiles extends PackFiles {
  readonly keys: BodyKeys
}

const FLUSH_AT = 1 << 20
const BATCH = 4096
const makingDirectory = (dir: string) => path.join(dir, 'making')

/**
 * Takes from a closed pack all that belongs to no record, or to one whose content is erased.
 * @param stead a number that no pack ever had
 * @throws RecorderError DAMAGED where something that is to stay can't be read: the pack then stands as it is, for a
 *   backup may bring that back
 */
export async function rewritePack(files: RewriteFiles, pack: number, stead: number): Promise<void> {
  const { dir, keys, fs } = files
  const reader = new SealedReader(path.join(dir, sealedName('pack', pack)), keys.seal, 'pack', pack)
  try {
    const kept = keptKeys(files.index, reader, pack)
    if (kept.size > 0) {
      const making = makingDirectory(dir)
      await makeDirectory(making, { fs })
      const file = { dir: making, purpose: 'pack', number: stead, bodyKey: keys.seal, fs } as const
      const copied = await copy(await SealedWriter.create(file), reader, pack, kept)
      if (copied !== kept.size) throw damaged(pack)
      await moveFile(
        path.join(making, sealedName('pack', stead)),
        path.join(dir, sealedName('pack', stead)),
        fs,
      )
      await takeOver(files, pack, stead)
    }
  } finally {
    reader.close()
  }
  await dropPack(files, pack)
}

/** Finishes or forgets what a crash cut short. */
export async function finishRewrites(files: RewriteFiles): Promise<void> {
  const { dir, keys, fs } = files
  await removeDirectory(makingDirectory(dir), fs)
  const packs = new Set(sealedNumbers(dir, 'pack'))
  // An index that lost its last commits may know a pack that is no more, and not the one in its stead.
  const known = new Set([...files.index.packs()].map(({ pack }) => pack))
  for (const stead of packs) {
    const reader = new SealedReader(path.join(dir, sealedName('pack', stead)), keys.seal, 'pack', stead)
    const pack = steadOf(reader)
    reader.close()
    if (pack === undefined || !(packs.has(pack) || known.has(pack))) continue
    await takeOver(files, pack, stead)
    if (packs.has(pack)) await dropPack(files, pack)
    else await removePlaces(files.index, pack)
  }
}

/** Offsets by key of what stays: parts of records whose content is not erased, and their chunks. */
function keptKeys(index: IndexWriter, reader: SealedReader, pack: number): Map<string, number> {
  const kept = new Map<string, number>()
  const place = index.database.prepare('SELECT "offset", length FROM place WHERE key = ? AND pack = ?')
  const keep = (key: Buffer): { offset: number; length: number } | undefined => {
    const found = place.get(key, pack) as { offset: number; length: number } | undefined
    if (found !== undefined) kept.set(key.toString('latin1'), found.offset)
    return found
  }
  const idsIn = (list: Buffer) =>
    Array.from({ length: Math.floor(list.length / ID) }, (_, i) => list.subarray(i * ID, (i + 1) * ID))
  const parts = index.database.prepare(
    `SELECT key FROM place JOIN record USING (leaf)
      WHERE pack = ? AND leaf > ${UNCLAIMED} AND id NOT IN (SELECT id FROM erased)`,
  )
  for (const { key } of parts.iterate(pack)) {
    const span = keep(Buffer.from(key as Uint8Array))
    const entry = span && entryAt(reader, pack, span)
    if (entry?.kind !== 'manifest') throw damaged(pack)
    const { form, content } = entry.manifest
    if (form === FORM.inline) continue
    for (const id of idsIn(content)) {
      const chunk = keep(id)
      const list = form === FORM.lists && chunk ? entryAt(reader, pack, chunk) : undefined
      if (list?.kind === 'chunk') for (const inner of idsIn(list.bytes)) keep(inner)
    }
  }
  return kept
}

function entryAt(reader: SealedReader, pack: number, { offset, length }: { offset: number; length: number }) {
  try {
    return parsePackEntry(reader.entry(offset, length))
  } catch (cause) {
    throw damaged(pack, cause)
  }
}

function damaged(pack: number, cause?: unknown): RecorderError {
  return new RecorderError(
    'DAMAGED',
    `packs/${sealedName('pack', pack)} is damaged: what else it holds would be lost with what is to be erased`,
    'Restore this pack from a backup, then erase again: `agent-anchor verify` names the damage.',
    cause,
  )
}

/** @returns how many entries were kept */
async function copy(
  writer: SealedWriter,
  reader: SealedReader,
  pack: number,
  kept: ReadonlyMap<string, number>,
): Promise<number> {
  let copied = 0
  try {
    writer.stage(steadEntry(pack))
    for (const found of reader.scan()) {
      const key = 'plain' in found ? packEntryKey(found.plain)?.key : undefined
      if (key === undefined || !('plain' in found)) continue
      if (kept.get(key.toString('latin1')) !== found.offset) continue
      writer.stage([found.plain])
      copied += 1
      if (writer.stagedBytes >= FLUSH_AT) await writer.flush()
    }
    await writer.flush()
    await writer.sync()
  } finally {
    await writer.close()
  }
  return copied
}

/** The new pack's places, each with the record that the old one's had. */
async function takeOver({ dir, keys, index }: RewriteFiles, pack: number, stead: number): Promise<void> {
  const insert = index.database.prepare(
    `INSERT OR REPLACE INTO place
      VALUES (:key, :stead, :offset, :length,
        ifnull((SELECT leaf FROM place WHERE key = :key AND pack = :pack), :leaf))`,
  )
  let batch: Place[] = []
  const add = async () => {
    index.transaction(() => {
      for (const { key, offset, length, manifest } of batch) {
        insert.run({ key, stead, offset, length, pack, leaf: manifest ? UNCLAIMED : null })
      }
    })
    batch = []
    await otherWork()
  }
  for (const place of scanPlaces(dir, keys.seal, { pack: stead, offset: 0 }, stead)) {
    batch.push(place)
    if (batch.length >= BATCH) await add()
  }
  await add()
  // Read from the pack again, the places would have lost their records.
  index.makeDurable()
}
