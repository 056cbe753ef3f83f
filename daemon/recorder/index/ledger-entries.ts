/** The ledger's leaves in order, a bundle at a time. */

import { TILE_WIDTH, widthAt } from '../../ledger/tile-path.ts'
import { readEntries } from '../../ledger/tile-store.ts'

/** Leaves from `from` up to `size`, which a signed checkpoint must cover. @throws LedgerError */
export function* ledgerEntries(
  dir: string,
  from: bigint,
  size: bigint,
): Generator<{ leaf: number; bytes: Buffer }> {
  for (let next = from; next < size; ) {
    const bundle = next / BigInt(TILE_WIDTH)
    const first = bundle * BigInt(TILE_WIDTH)
    const entries = readEntries(dir, bundle, widthAt('entries', bundle, size))
    for (const { bytes } of entries.slice(Number(next - first))) {
      yield { leaf: Number(next), bytes }
      next++
    }
  }
}
