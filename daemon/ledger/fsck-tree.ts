/**
 * Checks every tile and entry bundle of a tree against its root, from the root down, and names the file that is
 * damaged: each hash is stored once and follows once from what lies below, so the two disagree, and the hash
 * above (in the end the signed root) tells which of them is right.
 */
import { setImmediate } from 'node:timers/promises'
import type { Damage } from './damage.ts'
import { readBundle } from './entry-bundle.ts'
import { HASH_SIZE, leafHash, rootOf } from './merkle.ts'
import { edgeRoot, splitHashes } from './right-edge.ts'
import {
  edgeAt,
  MAX_LEVEL,
  parseTilePath,
  TILE_HEIGHT,
  TILE_WIDTH,
  type TileAddress,
  tilePath,
  widthAt,
} from './tile-path.ts'
import { readTileFile } from './tile-store.ts'

export interface CheckedTree {
  readonly dir: string
  readonly size: bigint
  /** Undefined where neither checkpoint nor state can be read: then tiles are checked against each other only. */
  readonly root: Buffer | undefined
  /** Where the root comes from, to be blamed if all tiles agree on another. */
  readonly rootFile: string
  /** Leaves below this are known to be good already, and skipped. */
  readonly from: bigint
  /** Told how far the leaves are checked, in order; what it throws ends the check. */
  readonly progress?: ((checked: bigint) => void) | undefined
}

/** Hashes as stored, or as they follow from below; undefined where that cannot be had. */
type Hashes = readonly (Buffer | undefined)[]

/** Yields one Damage for each damaged file of the tree. Holds one tile a level. */
export async function* checkTree(tree: CheckedTree): AsyncGenerator<Damage> {
  const edge: Hashes[] = yield* checkEdge(tree)
  for (let level = edge.length - 1; level >= 0; level--) {
    const { index } = edgeAt(level, tree.size)
    yield* checkBelow(tree, level, index, edge[level]!)
  }
}

/** The partial tiles at the right edge, which together make the root. */
async function* checkEdge(tree: CheckedTree): AsyncGenerator<Damage, Hashes[]> {
  const addresses: TileAddress[] = []
  for (let level = 0; level <= MAX_LEVEL; level++) addresses.push({ level, ...edgeAt(level, tree.size) })
  const stored = addresses.map((address) => load(tree, address))
  const hashes = stored.map(({ hashes }) => hashes)
  if (matches(tree, hashes)) return hashes.map((row) => row ?? [])

  const computed = addresses.map((address) => follow(tree, address))
  const suspects = addresses.map((_, i) => i).filter((i) => !same(hashes[i], computed[i]!))
  // The fewest tiles that must be replaced by what follows from below to get the root.
  const subsets = Array.from({ length: 1 << suspects.length }, (_, bits) =>
    suspects.filter((_, i) => bits & (1 << i)),
  )
  subsets.sort((a, b) => a.length - b.length)
  const healed = (subset: number[]): (Hashes | undefined)[] =>
    hashes.map((row, i) => (subset.includes(i) ? computed[i] : row))
  const damaged = subsets.find((subset) => matches(tree, healed(subset))) ?? suspects
  if (damaged.length === 0) {
    yield { file: tree.rootFile, what: `its root is not that of the ${tree.size} leaves stored` }
  }
  for (const i of damaged) yield damageOf(stored[i]!, computed[i]!)
  return healed(damaged).map((row, i) => row ?? computed[i]!)
}

function matches(tree: CheckedTree, levels: readonly (Hashes | undefined)[]): boolean {
  const known = levels.filter((row) => row !== undefined).filter(complete)
  if (known.length < levels.length) return false
  return tree.root === undefined || edgeRoot(known).equals(tree.root)
}

/** What lies under the hashes of one tile. */
async function* checkBelow(
  tree: CheckedTree,
  level: number,
  index: bigint,
  hashes: Hashes,
): AsyncGenerator<Damage> {
  if (level === 0) {
    // Others get their turn: a check of a big log takes long.
    await setImmediate()
    if (hashes.length > 0) yield* checkBundle(tree, index, hashes)
    tree.progress?.(index * BigInt(TILE_WIDTH) + BigInt(hashes.length))
    return
  }
  for (const [i, expected] of hashes.entries()) {
    const child = index * BigInt(TILE_WIDTH) + BigInt(i)
    const end = (child + 1n) << BigInt(TILE_HEIGHT * level)
    if (end > tree.from) yield* checkFull(tree, level - 1, child, expected)
  }
}

async function* checkFull(
  tree: CheckedTree,
  level: number,
  index: bigint,
  expected: Buffer | undefined,
): AsyncGenerator<Damage> {
  const address: TileAddress = { level, index, width: TILE_WIDTH }
  const tile = load(tree, address)
  let hashes: Hashes | undefined = tile.hashes
  if (tile.hashes === undefined || (expected !== undefined && !rootOf(tile.hashes).equals(expected))) {
    const computed = follow(tree, address)
    yield damageOf(tile, computed)
    // Where the tile cannot be healed its own hashes stay in charge: damage below is rather named twice than not.
    if (complete(computed) && expected !== undefined && rootOf(computed).equals(expected)) hashes = computed
    hashes ??= computed
  }
  yield* checkBelow(tree, level, index, hashes ?? [])
}

async function* checkBundle(tree: CheckedTree, index: bigint, hashes: Hashes): AsyncGenerator<Damage> {
  const address: TileAddress = { level: 'entries', index, width: hashes.length }
  const file = readTileFile(tree.dir, address)
  if (file === undefined) {
    yield { file: tilePath(address), what: 'the entry bundle is missing' }
    return
  }
  const { path, bytes } = file
  const { entries, end } = readBundle(bytes, hashes.length)
  for (const [i, expected] of hashes.entries()) {
    const entry = entries[i]
    if (entry === undefined) {
      yield { file: path, offset: end, what: `the entry bundle ends within entry ${i}` }
      return
    }
    if (expected !== undefined && !leafHash(entry.bytes).equals(expected)) {
      yield { file: path, offset: entry.offset, what: `entry ${i} is not the leaf that the tree holds` }
      return
    }
  }
  if (path === tilePath(address) && end !== bytes.length) {
    yield { file: path, offset: end, what: `${bytes.length - end} bytes follow the last entry` }
  }
}

interface Loaded {
  readonly path: string
  readonly hashes: Buffer[] | undefined
  /** Why there are no hashes. */
  readonly what?: string
}

function load({ dir }: CheckedTree, address: TileAddress): Loaded {
  if (address.width === 0) return { path: '', hashes: [] }
  const file = readTileFile(dir, address)
  if (file === undefined) return { path: tilePath(address), hashes: undefined, what: 'the tile is missing' }
  const { path, bytes } = file
  const length = parseTilePath(path).width * HASH_SIZE
  if (bytes.length !== length) {
    return { path, hashes: undefined, what: `the tile has ${bytes.length} bytes instead of ${length}` }
  }
  return { path, hashes: splitHashes(bytes).slice(0, address.width) }
}

/** A tile's hashes as they follow from the files one level below. */
function follow(tree: CheckedTree, { level, index, width }: TileAddress): Hashes {
  if (width === 0) return []
  if (level === 0 || level === 'entries') {
    const file = readTileFile(tree.dir, { level: 'entries', index, width })
    const { entries } = readBundle(file?.bytes ?? Buffer.alloc(0), width)
    return Array.from({ length: width }, (_, i) => entries[i] && leafHash(entries[i].bytes))
  }
  return Array.from({ length: width }, (_, i) => {
    const child = index * BigInt(TILE_WIDTH) + BigInt(i)
    const { hashes } = load(tree, {
      level: level - 1,
      index: child,
      width: widthAt(level - 1, child, tree.size),
    })
    return hashes && rootOf(hashes)
  })
}

function damageOf({ path, hashes, what }: Loaded, computed: Hashes): Damage {
  if (hashes === undefined) return { file: path, what: what ?? 'the tile cannot be read' }
  const i = hashes.findIndex((hash, i) => computed[i] !== undefined && !computed[i].equals(hash))
  if (i < 0) return { file: path, what: 'the tile is not the one that the tree above it holds' }
  return { file: path, offset: i * HASH_SIZE, what: `hash ${i} is not that of what lies below` }
}

function complete(hashes: Hashes): hashes is readonly Buffer[] {
  return hashes.every((hash) => hash !== undefined)
}

function same(stored: Hashes | undefined, computed: Hashes): boolean {
  return stored?.every((hash, i) => hash !== undefined && computed[i]?.equals(hash)) === true
}
