/** The ledger's leaves by index, beside a running recorder: from the bundles, or from the WAL until they are there. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { STATE_FILE } from '../../ledger/files.ts'
import { leavesFrom } from '../../ledger/fsck-wal.ts'
import { TILE_WIDTH, widthAt } from '../../ledger/tile-path.ts'
import { readEntries } from '../../ledger/tile-store.ts'
import { parseState } from '../../ledger/tree-state.ts'

export interface StoredLeaves {
  /** How many there are; undefined where the tree's state is damaged, which the ledger's own check names. */
  count(): number | undefined
  /** `unreadable` where the ledger is damaged, which its own check names; `absent` behind its last leaf. */
  get(leaf: number): Uint8Array | 'absent' | 'unreadable'
}

/** @param dir the ledger's directory */
export function storedLeaves(dir: string): StoredLeaves {
  let known = look(dir)
  const bundle = bundles(dir)
  return {
    count() {
      known = look(dir)
      return known && Number(known.size) + known.waiting.length
    },
    get(leaf) {
      // Appended since; or integrated, and its WAL segment removed.
      if (known !== undefined && leaf >= Number(known.size) + known.waiting.length) known = look(dir)
      if (known === undefined) return 'unreadable'
      const { size, waiting } = known
      if (leaf >= size) return waiting[leaf - Number(size)] ?? 'absent'
      return bundle(BigInt(leaf), size) ?? 'unreadable'
    },
  }
}

interface Known {
  /** Leaves in tiles. */
  readonly size: bigint
  /** Those that follow, which only the WAL holds. */
  readonly waiting: readonly Buffer[]
}

/** Both at one moment: leaves leave the WAL after the state says that they are in tiles. */
function look(dir: string): Known | undefined {
  for (;;) {
    const size = treeSize(dir)
    if (size === undefined) return undefined
    const waiting = leavesFrom(dir, size)
    if (treeSize(dir) === size) return { size, waiting }
  }
}

function treeSize(dir: string): bigint | undefined {
  try {
    return parseState(readFileSync(path.join(dir, STATE_FILE))).size
  } catch {
    return undefined
  }
}

/** One bundle is kept: leaves are asked for in order. */
function bundles(dir: string): (leaf: bigint, size: bigint) => Uint8Array | undefined {
  let loaded: { readonly index: bigint; readonly entries: readonly Uint8Array[] } | undefined
  return (leaf, size) => {
    const index = leaf / BigInt(TILE_WIDTH)
    const at = Number(leaf % BigInt(TILE_WIDTH))
    if (loaded?.index !== index || at >= loaded.entries.length) {
      loaded = { index, entries: entriesOf(dir, index, widthAt('entries', index, size)) }
    }
    return loaded.entries[at]
  }
}

function entriesOf(dir: string, index: bigint, width: number): Uint8Array[] {
  try {
    return readEntries(dir, index, width).map(({ bytes }) => bytes)
  } catch {
    return []
  }
}
