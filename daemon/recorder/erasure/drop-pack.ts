/**
 * A pack goes: first its name, so that from then on it is one that goes; then its places; then its bytes. Each step
 * can be done again, which is how a start finishes what a crash cut short.
 */
import { setImmediate as otherWork } from 'node:timers/promises'
import type { FileSystem } from '../../base/durable/file-system.ts'
import { expiredBefore } from '../index/erased.ts'
import type { IndexWriter } from '../index/index-writer.ts'
import { sealedNumbers } from '../sealed/files.ts'
import { goingNumbers, setAside, shredAside } from '../sealed/going.ts'

export interface PackFiles {
  /** Of the packs. */
  readonly dir: string
  readonly fs: FileSystem
  readonly index: IndexWriter
}

/** @throws DurableError, or SQLite's error; what was begun is finished by {@link finishDrops}. */
export async function dropPack(files: PackFiles, pack: number): Promise<void> {
  await setAside(files.dir, 'pack', pack, files.fs)
  await finishDrop(files, pack)
}

/** Packs that were on their way out. */
export async function finishDrops(files: PackFiles): Promise<void> {
  for (const pack of goingNumbers(files.dir)) await finishDrop(files, pack)
}

/**
 * Forgets packs that went by the retention, in an index that lost its last commits. One that is missing otherwise
 * stays in it, so that its loss is told.
 */
export async function forgetExpired({ dir, index }: PackFiles): Promise<void> {
  const before = expiredBefore(index.database)
  const there = new Set(sealedNumbers(dir, 'pack'))
  const gone = [...index.packs()].filter(({ pack, last }) => !there.has(pack) && last < before)
  for (const { pack } of gone) await removePlaces(index, pack)
}

/** Of a pack that was set aside; records may come in meanwhile. */
export async function finishDrop({ dir, fs, index }: PackFiles, pack: number): Promise<void> {
  await removePlaces(index, pack)
  // Else a power loss could bring back places in a pack that is no more.
  index.makeDurable()
  index.truncateLog()
  await shredAside(dir, 'pack', pack, fs)
}

/** In slices of the keys, which are evenly spread: a large index must not hold up the records that come in. */
export async function removePlaces(index: IndexWriter, pack: number): Promise<void> {
  const remove = index.database.prepare('DELETE FROM place WHERE key >= ? AND key < ? AND pack = ?')
  for (let first = 0; first < 256; first++) {
    // 33 bytes are behind every key of 32 that begins so.
    const end = Buffer.alloc(33, 0xff).fill(first, 0, 1)
    remove.run(Buffer.from([first]), end, pack)
    await otherWork()
  }
}
