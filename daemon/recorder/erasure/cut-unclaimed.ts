/**
 * What a crash or a failed attempt left at the end of the last pack, behind the last part that a record names: the
 * journal still has it, and it is stored again, perhaps in another pack or less of it. No record would lead to what
 * stands here then, and no erasure. To be run when the index is up to packs and log.
 */
import path from 'node:path'
import { AppendFile } from '../../base/durable/append-file.ts'
import { steadOf } from '../bodies/pack-store.ts'
import { sealedName, sealedNumbers } from '../sealed/files.ts'
import { FILE_HEADER } from '../sealed/format.ts'
import { SealedReader } from '../sealed/sealed-reader.ts'
import type { RewriteFiles } from './rewrite-pack.ts'

export async function cutUnclaimed({ dir, keys, fs, index }: RewriteFiles): Promise<void> {
  const last = sealedNumbers(dir, 'pack').at(-1)
  if (last === undefined) return
  const end = Math.max(FILE_HEADER, index.claimedEnd(last))
  const file = path.join(dir, sealedName('pack', last))
  const reader = new SealedReader(file, keys.seal, 'pack', last)
  try {
    // What stands in another's stead has nothing else, and damage is for somebody to look at.
    if (!reader.headerIntact || steadOf(reader) !== undefined || reader.size <= end) return
    for (const found of reader.scan(end)) if ('damage' in found && !found.tail) return
  } finally {
    reader.close()
  }
  index.forget(last, end)
  const pack = await AppendFile.open(file, { fs })
  try {
    await pack.truncate(end)
    await pack.sync()
  } finally {
    await pack.close()
  }
}
