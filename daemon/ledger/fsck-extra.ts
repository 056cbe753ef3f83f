/**
 * Checks the tile files that the tree of the moment does not need: older partial tiles, which stay until their
 * tile is full, and tiles of an integration that is under way or was cut short by a crash.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Damage } from './damage.ts'
import { readBundle } from './entry-bundle.ts'
import { isAbsent, readIfPresent, TILE_DIRECTORY } from './files.ts'
import { leavesFrom } from './fsck-wal.ts'
import { HASH_SIZE } from './merkle.ts'
import { EMPTY_EDGE, extendEdge, type RightEdge } from './right-edge.ts'
import { edgeAt, MAX_LEVEL, parseTilePath, type TileAddress, tilePath, widthAt } from './tile-path.ts'
import { readEntries, readTile, readTileFile } from './tile-store.ts'

/** Every file under `tile/`: its address, or undefined for a name that no log has. */
export function* walkTiles(
  dir: string,
  below = TILE_DIRECTORY,
): Generator<{ path: string; address?: TileAddress }> {
  let names: string[]
  try {
    names = readdirSync(join(dir, below), { withFileTypes: true }).map((e) =>
      e.isDirectory() ? `${e.name}/` : e.name,
    )
  } catch (error) {
    // Partial tiles went with their directory.
    if (isAbsent(error)) return
    throw error
  }
  for (const name of names) {
    const path = `${below}/${name}`
    if (name.endsWith('/')) yield* walkTiles(dir, path.slice(0, -1))
    else yield named(path)
  }
}

function named(path: string): { path: string; address?: TileAddress } {
  try {
    return { path, address: parseTilePath(path) }
  } catch {
    return { path }
  }
}

/** Whether the tree of `size` leaves reaches as far as the tile does. */
export function isWithin({ level, index, width }: TileAddress, size: bigint): boolean {
  return width <= widthAt(level, index, size)
}

/**
 * Checks an older partial tile against the wider tile that replaced it, which was checked as part of the tree:
 * where that is among `damaged` the older one can't be judged.
 */
export function checkOlder(
  dir: string,
  address: TileAddress,
  size: bigint,
  damaged: ReadonlySet<string>,
): Damage | undefined {
  const wide = { ...address, width: widthAt(address.level, address.index, size) }
  if (wide.width === address.width) return undefined
  // The older one first: where it is gone by now, there is nothing to check.
  const bytes = readIfPresent(join(dir, tilePath(address)))
  const wider = readTileFile(dir, wide)
  if (bytes === undefined || wider === undefined || damaged.has(wider.path)) return undefined
  return compare(address, bytes, wider.bytes)
}

/**
 * Checks tiles beyond the tree state, which a crash left: the next start writes the same again from the
 * write-ahead log, so they must be what follows from it.
 */
export function* checkLeftovers(
  dir: string,
  addresses: readonly TileAddress[],
  size: bigint,
): Generator<Damage> {
  const expected = new Map<string, Buffer>()
  for (const { address, bytes } of extendEdge(storedEdge(dir, size), leavesFrom(dir, size))) {
    expected.set(`${address.level}/${address.index}`, bytes)
  }
  for (const address of addresses) {
    const bytes = readIfPresent(join(dir, tilePath(address)))
    const wider = expected.get(`${address.level}/${address.index}`)
    if (bytes === undefined) continue
    if (wider === undefined)
      yield { file: tilePath(address), what: 'no leaf of the log belongs in this file' }
    else {
      const damage = compare(address, bytes, wider)
      if (damage !== undefined) yield damage
    }
  }
}

/** @throws LedgerError where tiles are damaged: then leftovers cannot be judged. */
function storedEdge(dir: string, size: bigint): RightEdge {
  if (size === 0n) return EMPTY_EDGE
  const levels = Array.from({ length: MAX_LEVEL + 1 }, (_, level) => {
    const { index, width } = edgeAt(level, size)
    return width === 0 ? [] : readTile(dir, { level, index, width })
  })
  const { index, width } = edgeAt('entries', size)
  return {
    size,
    levels,
    entries: width === 0 ? [] : readEntries(dir, index, width).map(({ bytes }) => bytes),
  }
}

function compare(address: TileAddress, bytes: Buffer, wider: Buffer): Damage | undefined {
  const end = address.level === 'entries' ? readBundle(wider, address.width).end : address.width * HASH_SIZE
  const expected = wider.subarray(0, end)
  if (bytes.equals(expected)) return undefined
  const file = tilePath(address)
  const offset = bytes.findIndex((byte, i) => byte !== expected[i])
  return {
    file,
    offset: offset < 0 ? bytes.length : offset,
    what: 'an older partial tile differs from the log',
  }
}
