/** Reads hashes and entries back from the tiles of a directory. Read-only, without locks, one tile at a time. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type BundleEntry, decodeBundle } from './entry-bundle.ts'
import { LedgerError, RESTORE } from './errors.ts'
import { isAbsent, readIfPresent } from './files.ts'
import { HASH_SIZE } from './merkle.ts'
import type { NodeSource } from './merkle-path.ts'
import { perfectRoot } from './perfect-root.ts'
import { splitHashes } from './right-edge.ts'
import {
  parseTilePath,
  partialsPath,
  TILE_HEIGHT,
  TILE_WIDTH,
  type TileAddress,
  tilePath,
  widthAt,
  widthsOf,
} from './tile-path.ts'

export interface StoredTile {
  /** Relative to the log's directory. */
  readonly path: string
  readonly bytes: Buffer
}

/**
 * The file that holds a tile of a tree of `size` leaves; undefined if there is none.
 * Older partial tiles go while wider ones are written, and all of them once the full tile exists: so where one is
 * missing the wider ones are asked, which begin with the same, and last the full one, in this order.
 */
export function readTileFile(dir: string, address: TileAddress): StoredTile | undefined {
  const read = (width: number): StoredTile | undefined => {
    const path = tilePath({ ...address, width })
    const bytes = readIfPresent(join(dir, path))
    return bytes && { path, bytes }
  }
  const exact = read(address.width)
  if (exact !== undefined || address.width === TILE_WIDTH) return exact
  const wider = partialWidths(dir, address).filter((width) => width > address.width)
  for (const width of [...wider, TILE_WIDTH]) {
    const found = read(width)
    if (found !== undefined) return found
  }
  return undefined
}

/** Of the partial tiles that are there, ascending. */
export function partialWidths(dir: string, { level, index }: TileAddress): number[] {
  try {
    return widthsOf(readdirSync(join(dir, partialsPath(level, index))))
  } catch (error) {
    if (isAbsent(error)) return []
    throw error
  }
}

/**
 * The first `address.width` hashes of a tile.
 * @throws LedgerError TILE_MISSING, TILE_DAMAGED (of another length than its name says)
 */
export const readTile = (dir: string, address: TileAddress): Buffer[] => splitHashes(readHashes(dir, address))

/** The same, one after the other. */
function readHashes(dir: string, address: TileAddress): Buffer {
  const { path, bytes } = present(dir, address)
  const { width } = parseTilePath(path)
  if (bytes.length !== width * HASH_SIZE) {
    throw new LedgerError(
      'TILE_DAMAGED',
      `${path} has ${bytes.length} bytes, not ${width * HASH_SIZE}`,
      RESTORE,
    )
  }
  return bytes.subarray(0, address.width * HASH_SIZE)
}

/** The first `width` entries of bundle `index`. @throws LedgerError TILE_MISSING, TILE_DAMAGED */
export function readEntries(dir: string, index: bigint, width: number): BundleEntry[] {
  return decodeBundle(present(dir, { level: 'entries', index, width }).bytes, width)
}

function present(dir: string, address: TileAddress): StoredTile {
  const file = readTileFile(dir, address)
  if (file === undefined) throw new LedgerError('TILE_MISSING', `${tilePath(address)} is missing`, RESTORE)
  return file
}

/** Tiles that one proof touches again are kept: it climbs eight levels in each. */
const KEPT = 32

/** Subtree hashes out of the tiles of a tree of (at least) `size` leaves; made for one proof, then dropped. */
export function storedNodes(dir: string, size: bigint): NodeSource {
  const kept = new Map<string, Buffer>()
  return (level, index) => {
    const height = level % TILE_HEIGHT
    const tileLevel = (level - height) / TILE_HEIGHT
    const first = index << BigInt(height)
    const tileIndex = first / BigInt(TILE_WIDTH)
    const address = { level: tileLevel, index: tileIndex, width: widthAt(tileLevel, tileIndex, size) }
    const path = tilePath(address)
    const hashes = kept.get(path) ?? readHashes(dir, address)
    if (kept.size < KEPT) kept.set(path, hashes)
    const start = Number(first % BigInt(TILE_WIDTH)) * HASH_SIZE
    return perfectRoot(hashes.subarray(start, start + (HASH_SIZE << height)))
  }
}
