/** Names of tiles and entry bundles, c2sp.org/tlog-tiles v0.1.0. Pure. */
import { MAX_SIZE } from './encoding.ts'
import { LedgerError } from './errors.ts'

/** Hashes in a full tile, entries in a full bundle: a tile is eight levels of the tree. */
export const TILE_WIDTH = 256
export const TILE_HEIGHT = 8

/** Highest tile level of a tree of fewer than 2^63 leaves. */
export const MAX_LEVEL = 7

export interface TileAddress {
  /** Tile level, or the entry bundle beside level 0. */
  readonly level: number | 'entries'
  readonly index: bigint
  /** Hashes or entries inside, 1 to 256; fewer than 256 is a partial tile. */
  readonly width: number
}

/** `tile/<L>/<N>[.p/<W>]`, relative to the log's directory. */
export function tilePath({ level, index, width }: TileAddress): string {
  const full = `tile/${level}/${indexPath(index)}`
  return width === TILE_WIDTH ? full : `${full}.p/${width}`
}

/** Directory of the partial tiles of one tile. */
export function partialsPath(level: TileAddress['level'], index: bigint): string {
  return `tile/${level}/${indexPath(index)}.p`
}

/** Widths of partial tiles by their files' names, ascending. */
export function widthsOf(names: readonly string[]): number[] {
  return names
    .filter((name) => /^[1-9][0-9]{0,2}$/.test(name))
    .map(Number)
    .sort((a, b) => a - b)
}

/** 1234067 → `x001/x234/067`. */
function indexPath(index: bigint): string {
  const digits = index.toString()
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g)!
  return groups.map((group, i) => (i === groups.length - 1 ? group : `x${group}`)).join('/')
}

const PATH = /^tile\/([0-7]|entries)\/((?:x[0-9]{3}\/){0,6}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/

/** @throws LedgerError MALFORMED_PATH unless the path is exactly what {@link tilePath} gives. */
export function parseTilePath(path: string): TileAddress {
  const match = PATH.exec(path)
  if (match !== null) {
    const [, level, groups, width] = match
    const address: TileAddress = {
      level: level === 'entries' ? 'entries' : Number(level),
      index: BigInt(groups!.replaceAll(/[x/]/g, '')),
      width: width === undefined ? TILE_WIDTH : Number(width),
    }
    const known = address.width <= TILE_WIDTH && address.index <= MAX_SIZE
    if (known && tilePath(address) === path) return address
  }
  throw new LedgerError(
    'MALFORMED_PATH',
    'not the name of a tile or entry bundle',
    'Ask for a path of tlog-tiles.',
  )
}

/** How wide tile `index` of a level is in a tree of `size` leaves: 0 where there is none. */
export function widthAt(level: TileAddress['level'], index: bigint, size: bigint): number {
  const height = level === 'entries' ? 0 : level * TILE_HEIGHT
  const rest = (size >> BigInt(height)) - index * BigInt(TILE_WIDTH)
  return rest <= 0n ? 0 : rest >= BigInt(TILE_WIDTH) ? TILE_WIDTH : Number(rest)
}

/** Index of the partial tile at the right edge of a level, and its width: 0 where the edge is even. */
export function edgeAt(level: TileAddress['level'], size: bigint): { index: bigint; width: number } {
  const height = level === 'entries' ? 0 : level * TILE_HEIGHT
  const nodes = size >> BigInt(height)
  return { index: nodes >> BigInt(TILE_HEIGHT), width: Number(nodes & BigInt(TILE_WIDTH - 1)) }
}
