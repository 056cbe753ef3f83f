/**
 * Writes tiles and the tree state. Idempotent: after a crash the same leaves make the same files, and a file
 * that is there already must have the same bytes.
 *
 * Order: tiles and bundles durable → partial tiles of filled tiles removed → tree state → older partial tiles removed.
 * A crash between any two
 * leaves the old state with tiles that fit it (a full tile stands in for its partial ones).
 */
import { dirname, join } from 'node:path'
import type { FileSystem } from '../base/durable/file-system.ts'
import {
  makeDirectory,
  removeDirectory,
  syncDirectory,
  syncFile,
  writeFileAtomic,
} from '../base/durable/files.ts'
import { LedgerError, RESTORE } from './errors.ts'
import { readIfPresent, STATE_FILE, TEMPORARY_FILE } from './files.ts'
import { edgeRoot, extendEdge, type RightEdge, type TileFile } from './right-edge.ts'
import { partialsPath, TILE_WIDTH, type TileAddress, tilePath, widthsOf } from './tile-path.ts'
import { formatState } from './tree-state.ts'

/** Partial tiles of one tile that stay until it is full. */
const KEPT = 4

export interface Integrator {
  readonly dir: string
  readonly origin: string
  readonly fs: FileSystem
}

/**
 * Integrates leaves behind an edge; the new edge, durable.
 * @throws LedgerError DIFFERENT_BYTES, DurableError. Nothing is lost by an error: the same call may be repeated.
 */
export async function integrate(
  log: Integrator,
  edge: RightEdge,
  leaves: Iterable<Buffer>,
): Promise<RightEdge> {
  const changed = new Set<string>()
  const filled: TileAddress[] = []
  const partial: TileAddress[] = []
  const files = extendEdge(edge, leaves)
  let step = files.next()
  for (; !step.done; step = files.next()) {
    await putTile(log, step.value)
    const path = tilePath(step.value.address)
    // Up to the log's directory, since a directory made by a run that crashed may not be durable yet.
    for (let parent = dirname(path); !changed.has(parent); parent = dirname(parent)) changed.add(parent)
    if (step.value.address.width === TILE_WIDTH) filled.push(step.value.address)
    else partial.push(step.value.address)
  }
  for (const parent of changed) await syncDirectory(join(log.dir, parent), log.fs)
  for (const { level, index } of filled)
    await removeDirectory(join(log.dir, partialsPath(level, index)), log.fs)
  await writeState(log, step.value)
  for (const address of partial) await removeOlder(log, address)
  return step.value
}

/**
 * A tile of 256 records is written anew with every checkpoint: all of these together are up to a hundred times its
 * size. Who reads under one of the last checkpoints still finds its tiles, and ours finds the wider ones.
 */
async function removeOlder({ dir, fs }: Integrator, { level, index }: TileAddress): Promise<void> {
  const partials = join(dir, partialsPath(level, index))
  const widths = widthsOf(await fs.readdir(partials).catch(() => []))
  // One that can't go now goes with its directory.
  for (const width of widths.slice(0, -KEPT)) await fs.unlink(join(partials, String(width))).catch(() => {})
}

export async function writeState({ dir, origin, fs }: Integrator, edge: RightEdge): Promise<void> {
  const bytes = formatState({ origin, size: edge.size, root: edgeRoot(edge.levels) })
  await writeFileAtomic(join(dir, STATE_FILE), bytes, { temporary: join(dir, TEMPORARY_FILE), fs })
}

async function putTile({ dir, fs }: Integrator, { address, bytes }: TileFile): Promise<void> {
  const path = join(dir, tilePath(address))
  const stored = readIfPresent(path)
  if (stored === undefined) {
    await makeDirectory(dirname(path), { fs })
    await writeFileAtomic(path, bytes, { temporary: join(dir, TEMPORARY_FILE), directory: 'later', fs })
  } else if (stored.equals(bytes)) {
    await syncFile(path, fs)
  } else {
    throw new LedgerError('DIFFERENT_BYTES', `${tilePath(address)} holds other bytes than the log`, RESTORE)
  }
}
