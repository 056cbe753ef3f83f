/** Takes what the log has as erased from the packs; does nothing where nothing is left of it. */
import type { PackStore } from '../bodies/pack-store.ts'
import { UNCLAIMED } from '../index/database.ts'
import type { IndexWriter } from '../index/index-writer.ts'
import { sealedNumbers } from '../sealed/files.ts'
import { dropPack } from './drop-pack.ts'
import { type RewriteFiles, rewritePack } from './rewrite-pack.ts'

export interface ErasureProgress {
  /** Packs written anew, of how many. */
  readonly done: number
  readonly of: number
}

/**
 * With it goes what belongs to no record. To be run with nothing put and not committed.
 * @throws RecorderError DAMAGED, or the disk's error: what is left is for the next call
 */
export async function removeErased(
  { index, packs }: { readonly index: IndexWriter; readonly packs: PackStore },
  files: RewriteFiles,
  progress: (state: ErasureProgress) => void = () => {},
): Promise<void> {
  const concerned = packsToRewrite(index, files.dir)
  if (concerned.length === 0) return
  const { active, empty } = packs
  const first = await packs.reserve(concerned.length)
  index.add([], await packs.commit())
  for (const [done, pack] of concerned.entries()) {
    progress({ done, of: concerned.length })
    await rewritePack(files, pack, first + done)
  }
  if (empty) await dropPack(files, active)
  progress({ done: concerned.length, of: concerned.length })
}

/**
 * Those with a part that no record names (what an error left of an exchange that was begun again, perhaps of an erased
 * one), and those with a part of an erased record: these last, so that a crash leaves one as long as work is left.
 */
function packsToRewrite(index: IndexWriter, dir: string): number[] {
  const erased = index.database.prepare(
    `SELECT 1 FROM place JOIN record USING (leaf) JOIN erased USING (id) WHERE pack = ? AND place.leaf > ${UNCLAIMED} LIMIT 1`,
  )
  const unclaimed = index.database.prepare(
    `SELECT 1 FROM place WHERE pack = ? AND leaf = ${UNCLAIMED} LIMIT 1`,
  )
  const all = sealedNumbers(dir, 'pack')
  const withErased = all.filter((pack) => erased.get(pack) !== undefined)
  if (withErased.length === 0) return []
  const others = all.filter((pack) => !withErased.includes(pack) && unclaimed.get(pack) !== undefined)
  return [...others, ...withErased]
}
