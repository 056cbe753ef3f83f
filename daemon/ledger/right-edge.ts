/**
 * The right edge of the tree: all that is needed to go on appending, whatever the log's size (under 60 KB of
 * hashes and the entries of one bundle). Pure: from an edge and leaves to files and the next edge.
 */
import { encodeBundle } from './entry-bundle.ts'
import { EMPTY_ROOT, HASH_SIZE, leafHash, nodeHash, rootOf } from './merkle.ts'
import { TILE_WIDTH, type TileAddress } from './tile-path.ts'

export interface RightEdge {
  /** Leaves in the tree. */
  readonly size: bigint
  /** For each tile level from 0 up, the hashes of its partial tile: fewer than 256, perhaps none. */
  readonly levels: readonly (readonly Buffer[])[]
  /** Entries of the partial bundle: as many as there are hashes in level 0. */
  readonly entries: readonly Buffer[]
}

export const EMPTY_EDGE: RightEdge = { size: 0n, levels: [], entries: [] }

/** Root of the tree that ends in this edge. */
export function edgeRoot(levels: RightEdge['levels']): Buffer {
  let root: Buffer | undefined
  for (const hashes of levels) {
    // From the right: each set bit of the width is one perfect subtree.
    let end = hashes.length
    for (let width = 1; end > 0; width *= 2) {
      if ((end & width) === 0) continue
      const subtree = rootOf(hashes.slice(end - width, end))
      root = root === undefined ? subtree : nodeHash(subtree, root)
      end -= width
    }
  }
  return root ?? EMPTY_ROOT
}

export interface TileFile {
  readonly address: TileAddress
  readonly bytes: Buffer
}

/**
 * Appends leaves: yields the files that must then exist, each full tile as it fills and at the end the partial
 * ones of the new size; returns the new edge. Lazy, so that one tile at a time is held.
 */
export function* extendEdge(edge: RightEdge, leaves: Iterable<Buffer>): Generator<TileFile, RightEdge> {
  const levels = edge.levels.map((hashes) => [...hashes])
  const before = edge.levels.map((hashes) => hashes.length)
  let entries = [...edge.entries]
  let size = edge.size
  for (const leaf of leaves) {
    entries.push(leaf)
    size += 1n
    if (entries.length === TILE_WIDTH) {
      yield {
        address: { level: 'entries', index: indexOfLast(size, 0), width: TILE_WIDTH },
        bytes: encodeBundle(entries),
      }
      entries = []
    }
    let hash = leafHash(leaf)
    for (let level = 0; ; level++) {
      levels[level] ??= []
      const hashes = levels[level]!
      hashes.push(hash)
      if (hashes.length < TILE_WIDTH) break
      yield {
        address: { level, index: indexOfLast(size, level), width: TILE_WIDTH },
        bytes: Buffer.concat(hashes),
      }
      hash = rootOf(hashes)
      levels[level] = []
      before[level] = 0
    }
  }
  if (entries.length > 0 && size !== edge.size) {
    const address: TileAddress = { level: 'entries', index: indexOfLast(size, 0), width: entries.length }
    yield { address, bytes: encodeBundle(entries) }
  }
  for (const [level, hashes] of levels.entries()) {
    if (hashes.length === 0 || hashes.length === before[level]) continue
    const address: TileAddress = { level, index: indexOfLast(size, level), width: hashes.length }
    yield { address, bytes: Buffer.concat(hashes) }
  }
  return { size, levels, entries }
}

/** Index of the tile that holds a level's last node. */
function indexOfLast(size: bigint, level: number): bigint {
  return ((size >> BigInt(8 * level)) - 1n) >> 8n
}

/** A tile's bytes as its hashes. */
export function splitHashes(bytes: Buffer): Buffer[] {
  const hashes: Buffer[] = []
  for (let offset = 0; offset + HASH_SIZE <= bytes.length; offset += HASH_SIZE) {
    hashes.push(bytes.subarray(offset, offset + HASH_SIZE))
  }
  return hashes
}
