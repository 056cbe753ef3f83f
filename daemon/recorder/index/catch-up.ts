/** Brings the index up to the packs and the log, from nothing if need be. */
import { setImmediate as otherWork } from 'node:timers/promises'
import type { FileSystem } from '../../base/durable/file-system.ts'
import type { BodyKeys } from '../bodies/keys.ts'
import { scanPlaces } from '../bodies/pack-store.ts'
import type { Place } from '../bodies/place.ts'
import { finishDrops, forgetExpired } from '../erasure/drop-pack.ts'
import { finishRewrites } from '../erasure/rewrite-pack.ts'
import type { IndexWriter } from './index-writer.ts'
import { ledgerEntries } from './ledger-entries.ts'
import { type IndexedLeaf, indexedLeaf, parseLeaf } from './row.ts'

export interface IndexedFiles {
  /** Of the packs. */
  readonly dir: string
  readonly keys: BodyKeys
  readonly fs: FileSystem
  readonly index: IndexWriter
}

const BATCH = 4096

/** @param progress told of leaves that are in the index; what it throws ends the work, which can be begun again. */
export async function catchUp(
  files: IndexedFiles,
  ledger: { readonly dir: string; readonly size: bigint },
  progress: (leaves: bigint) => void = () => {},
): Promise<void> {
  await finishDrops(files)
  await finishRewrites(files)
  // Manifests before the records that name them.
  addPlaces(files)
  await addRecords(files.index, ledger, progress)
  await forgetExpired(files)
}

async function addRecords(
  index: IndexWriter,
  { dir, size }: { readonly dir: string; readonly size: bigint },
  progress: (leaves: bigint) => void,
): Promise<void> {
  let leaves: IndexedLeaf[] = []
  const add = (): void => {
    index.add(leaves)
    leaves = []
    progress(BigInt(index.nextLeaf()))
  }
  for (const { leaf, bytes } of ledgerEntries(dir, BigInt(index.nextLeaf()), size)) {
    leaves.push(indexedLeaf(leaf, bytes, parseLeaf(bytes)))
    if (leaves.length < BATCH) continue
    add()
    await otherWork()
  }
  add()
}

function addPlaces({ index, dir, keys }: IndexedFiles): void {
  let places: Place[] = []
  const add = (): void => {
    const { pack, offset, length } = places.at(-1)!
    index.add([], { places, position: { pack, offset: offset + length } })
    places = []
  }
  for (const place of scanPlaces(dir, keys.seal, index.position())) {
    places.push(place)
    if (places.length >= BATCH) add()
  }
  if (places.length > 0) add()
}
