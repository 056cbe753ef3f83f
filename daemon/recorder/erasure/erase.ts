/**
 * Erasing: the log says what goes and who wanted it, then every pack with content of it is written anew without.
 * To be run between batches of records, with nothing put and not committed.
 */

import { encodeRecord } from '../finalise/fit.ts'
import type { Stores } from '../finalise/stores.ts'
import { expiredBefore } from '../index/erased.ts'
import type { IndexWriter } from '../index/index-writer.ts'
import { indexedLeaf, parseLeaf, storedParts } from '../index/row.ts'
import { type Eraser, erasedRecord, MOST_IDS } from './erasure-record.ts'
import { type ErasureProgress, removeErased } from './remove-erased.ts'
import type { RewriteFiles } from './rewrite-pack.ts'

export interface ErasureResult {
  readonly erased: string[]
  /** Ids of which nothing was to be erased, and why. */
  readonly skipped: { readonly id: string; readonly why: SkipReason }[]
}

export type SkipReason = 'no such record' | 'no content was kept' | 'erased before' | 'gone by the retention'

/** @throws the disk's error; what the log says by then is finished by the next {@link removeErased}. */
export async function eraseContent(
  stores: Stores,
  files: RewriteFiles,
  ids: readonly string[],
  by: Eraser,
  progress: (state: ErasureProgress) => void,
): Promise<ErasureResult> {
  const { index, ledger } = stores
  const skipped: { id: string; why: SkipReason }[] = []
  const wanted: { id: string; parts: number }[] = []
  for (const id of new Set(ids)) {
    const found = contentOf(index, id)
    if (typeof found === 'string') skipped.push({ id, why: found })
    else wanted.push({ id, parts: found })
  }
  for (let at = 0; at < wanted.length; at += MOST_IDS) {
    const some = wanted.slice(at, at + MOST_IDS)
    const parts = some.reduce((sum, each) => sum + each.parts, 0)
    const record = erasedRecord(
      some.map(({ id }) => id),
      by,
      parts,
    )
    const bytes = encodeRecord(record)
    index.add([indexedLeaf(Number(await ledger.append(bytes)), bytes, record)])
  }
  // Also where all were erased before: an attempt that a damaged pack stopped is taken up again.
  await removeErased(stores, files, progress)
  return { erased: wanted.map(({ id }) => id), skipped }
}

/** How many parts there are to be erased, or why none. */
function contentOf(index: IndexWriter, id: string): number | SkipReason {
  const row = index.database.prepare('SELECT leaf, bytes FROM record WHERE id = ?').get(id)
  if (!(row?.bytes instanceof Uint8Array)) return 'no such record'
  if (index.database.prepare('SELECT 1 FROM erased WHERE id = ?').get(id)) return 'erased before'
  const parts = storedParts(parseLeaf(row.bytes)).length
  if (parts === 0) return 'no content was kept'
  return Number(row.leaf) < expiredBefore(index.database) ? 'gone by the retention' : parts
}
