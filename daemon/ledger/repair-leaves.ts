/** The leaves of a damaged log, as far as they can be had. */
import { readBundle } from './entry-bundle.ts'
import { LedgerError, RESTORE } from './errors.ts'
import { leafHash } from './merkle.ts'
import { TILE_WIDTH, type TileAddress, tilePath, widthAt } from './tile-path.ts'
import { partialWidths, readTile, readTileFile } from './tile-store.ts'

/** A leaf as somebody else keeps it. */
export type ElsewhereLeaf = (index: bigint) => Uint8Array | undefined

interface Wanted {
  readonly from: bigint
  readonly to: bigint
  /** Of the tree whose bundles are there. */
  readonly size: bigint
  readonly elsewhere: ElsewhereLeaf | undefined
}

/** @throws LedgerError TILE_MISSING, TILE_DAMAGED where a leaf is neither in its bundle nor elsewhere */
export function* storedLeaves(dir: string, { from, to, size, elsewhere }: Wanted): Generator<Buffer> {
  for (let next = from; next < to; ) {
    const index = next / BigInt(TILE_WIDTH)
    const first = index * BigInt(TILE_WIDTH)
    const leaves = bundle(dir, { level: 'entries', index, width: widthAt('entries', index, size) }, elsewhere)
    for (const leaf of leaves.slice(Number(next - first), Number(to - first))) {
      yield leaf
      next++
    }
  }
}

function bundle(dir: string, address: TileAddress, elsewhere: ElsewhereLeaf | undefined): Buffer[] {
  const { index, width } = address
  const file = readTileFile(dir, address)
  const { entries } = readBundle(file?.bytes ?? Buffer.alloc(0), width)
  const hashes = hashesOf(dir, { level: 0, index, width })
  return Array.from({ length: width }, (_, i) => {
    const stored = entries[i]?.bytes
    const hash = hashes?.[i]
    if (stored !== undefined && (hash === undefined || leafHash(stored).equals(hash))) return stored
    const other = hash && elsewhere?.(index * BigInt(TILE_WIDTH) + BigInt(i))
    if (other !== undefined && leafHash(other).equals(hash!)) return Buffer.from(other)
    // Perhaps the tile is what is damaged: the root will tell.
    if (stored !== undefined) return stored
    const [code, what] = file
      ? (['TILE_DAMAGED', 'is cut short'] as const)
      : (['TILE_MISSING', 'is missing'] as const)
    throw new LedgerError(
      code,
      `${file?.path ?? tilePath(address)} ${what}, and its leaves are nowhere else`,
      RESTORE,
    )
  })
}

function hashesOf(dir: string, address: TileAddress): Buffer[] | undefined {
  try {
    return readTile(dir, address)
  } catch (error) {
    if (error instanceof LedgerError && (error.code === 'TILE_MISSING' || error.code === 'TILE_DAMAGED'))
      return undefined
    throw error
  }
}

/** Leaves in bundles, without a gap from leaf `from` on, which was signed: at least so many. */
export function storedSize(dir: string, from: bigint): bigint {
  for (let index = from / BigInt(TILE_WIDTH); ; index++) {
    const address: TileAddress = { level: 'entries', index, width: TILE_WIDTH }
    if (readTileFile(dir, address) !== undefined) continue
    const width = partialWidths(dir, address).at(-1) ?? 0
    const size = index * BigInt(TILE_WIDTH) + BigInt(width)
    return size > from ? size : from
  }
}
