/** Reads a log beside the daemon that writes it: no locks, nothing written, nothing believed that is unsigned. */
import { join } from 'node:path'
import { batchPath } from './batch-path.ts'
import { parseSignedCheckpoint, type SignedCheckpoint } from './checkpoint.ts'
import { decodeUtf8 } from './encoding.ts'
import { LedgerError } from './errors.ts'
import { CHECKPOINT_FILE, readIfPresent } from './files.ts'
import { consistencyPath, inclusionPath } from './merkle-path.ts'
import { TILE_WIDTH, widthAt } from './tile-path.ts'
import { readEntries, storedNodes } from './tile-store.ts'

export interface LedgerReader {
  /** The newest checkpoint, parsed but not verified; undefined in a directory without a log. */
  checkpoint(): SignedCheckpoint | undefined
  /** A leaf under the newest checkpoint. @throws LedgerError OUT_OF_RANGE, TILE_MISSING, TILE_DAMAGED */
  entry(index: bigint): Buffer
  /** The leaf's sibling first; `size` up to the newest checkpoint's. @throws as {@link entry} does */
  inclusionProof(index: bigint, size: bigint): Buffer[]
  /** The proof of several leaves at once (batch-path.ts); `indexes` ascending. @throws as {@link entry} does */
  batchProof(indexes: readonly bigint[], size: bigint): Buffer[]
  /** `newSize` up to the newest checkpoint's. @throws as {@link entry} does */
  consistencyProof(oldSize: bigint, newSize: bigint): Buffer[]
}

export function openReader(dir: string): LedgerReader {
  const checkpoint = (): SignedCheckpoint | undefined => {
    const bytes = readIfPresent(join(dir, CHECKPOINT_FILE))
    return bytes && parseSignedCheckpoint(decodeUtf8(bytes))
  }
  /** Size of the newest tree, whose tiles are there, after checking that it covers what is asked. */
  const covering = (size: bigint): bigint => {
    const newest = checkpoint()?.size ?? 0n
    if (size > newest) {
      throw new LedgerError(
        'OUT_OF_RANGE',
        `the newest checkpoint has ${newest} leaves, not ${size}`,
        'Wait for the next checkpoint (about a second), or ask for less.',
      )
    }
    return newest
  }
  return {
    checkpoint,
    entry(index) {
      const size = covering(index + 1n)
      if (index < 0n) throw new LedgerError('OUT_OF_RANGE', 'a negative index', 'Count leaves from 0.')
      const bundle = index / BigInt(TILE_WIDTH)
      const entries = readEntries(dir, bundle, widthAt('entries', bundle, size))
      return entries[Number(index % BigInt(TILE_WIDTH))]!.bytes
    },
    inclusionProof: (index, size) => inclusionPath(index, size, storedNodes(dir, covering(size))),
    batchProof: (indexes, size) => batchPath(indexes, size, storedNodes(dir, covering(size))),
    consistencyProof: (oldSize, newSize) =>
      consistencyPath(oldSize, newSize, storedNodes(dir, covering(newSize))),
  }
}
