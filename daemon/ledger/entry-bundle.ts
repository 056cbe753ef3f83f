/** Entry bundles of c2sp.org/tlog-tiles: (u16be length ‖ entry)*, up to 256 entries. Pure. */
import { LedgerError, RESTORE } from './errors.ts'

/** Longest entry that a bundle can hold. */
export const MAX_ENTRY = 0xffff

export function encodeBundle(entries: readonly Uint8Array[]): Buffer {
  const parts: Uint8Array[] = []
  for (const entry of entries) {
    const length = Buffer.allocUnsafe(2)
    length.writeUInt16BE(entry.length)
    parts.push(length, entry)
  }
  return Buffer.concat(parts)
}

export interface BundleEntry {
  /** Where its length stands in the bundle. */
  readonly offset: number
  readonly bytes: Buffer
}

/**
 * The first `count` entries; a wider bundle than that is fine, a shorter one is not.
 * @throws LedgerError TILE_DAMAGED
 */
export function decodeBundle(bundle: Buffer, count: number): BundleEntry[] {
  const { entries } = readBundle(bundle, count)
  if (entries.length < count) {
    throw new LedgerError(
      'TILE_DAMAGED',
      `an entry bundle ends after ${entries.length} of ${count} entries`,
      RESTORE,
    )
  }
  return entries
}

/** As many whole entries as there are, up to `limit`, and where they end. */
export function readBundle(bundle: Buffer, limit: number): { entries: BundleEntry[]; end: number } {
  const entries: BundleEntry[] = []
  let offset = 0
  while (entries.length < limit && offset + 2 <= bundle.length) {
    const end = offset + 2 + bundle.readUInt16BE(offset)
    if (end > bundle.length) break
    entries.push({ offset, bytes: bundle.subarray(offset + 2, end) })
    offset = end
  }
  return { entries, end: offset }
}
