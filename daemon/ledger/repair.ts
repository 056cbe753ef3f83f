/**
 * Makes anew what follows from the leaves: hash tiles, the tree state, and bundles whose leaves are elsewhere too.
 * Nothing is written before the leaves were proved to make the tree that was signed. Memory is constant in the log's size.
 */
import { dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { type FileSystem, realFileSystem } from '../base/durable/file-system.ts'
import { makeDirectory, removeFile, writeFileAtomic } from '../base/durable/files.ts'
import type { SignedCheckpoint } from './checkpoint.ts'
import { LedgerError, RESTORE } from './errors.ts'
import { CHECKPOINT_FILE, readIfPresent, STATE_FILE, TEMPORARY_FILE } from './files.ts'
import { checkOlder, isWithin, walkTiles } from './fsck-extra.ts'
import { writeState } from './integrate.ts'
import { lockLedger } from './lock.ts'
import { parseVerifierKey } from './note.ts'
import { loadCheckpoint } from './recover.ts'
import { type ElsewhereLeaf, storedLeaves, storedSize } from './repair-leaves.ts'
import { EMPTY_EDGE, edgeRoot, extendEdge, type RightEdge, type TileFile } from './right-edge.ts'
import { TILE_WIDTH, tilePath } from './tile-path.ts'
import { parseState, type TreeState } from './tree-state.ts'

export interface RepairOptions {
  readonly dir: string
  readonly verifierKey: string
  /** Leaves that are kept elsewhere too; believed only where their hash is the one in the tree. */
  readonly elsewhere?: ElsewhereLeaf | undefined
  /** Told of leaves as they are read, of twice as many as there are: once to prove, once to write. */
  readonly progress?: ((done: bigint, of: bigint) => void) | undefined
  readonly fs?: FileSystem
}

export interface Repaired {
  /** Relative to the log's directory. */
  readonly written: readonly string[]
  /** Older partial tiles that were damaged; wider ones hold what they held. */
  readonly removed: readonly string[]
}

/**
 * @throws LedgerError LOCKED while a daemon runs; CHECKPOINT_MISSING, CHECKPOINT_DAMAGED, WRONG_ORIGIN; TILE_DAMAGED and
 * TILE_MISSING where leaves themselves are damaged: those come from a copy only. DurableError.
 */
export async function repairLedger(options: RepairOptions): Promise<Repaired> {
  const { dir, verifierKey, fs = realFileSystem } = options
  const release = await lockLedger(dir, fs)
  try {
    const note = readIfPresent(join(dir, CHECKPOINT_FILE))
    if (note === undefined)
      throw new LedgerError(
        'CHECKPOINT_MISSING',
        'without a signed checkpoint nothing can be proved',
        RESTORE,
      )
    const signed = loadCheckpoint(note, [verifierKey])
    const { name: origin } = parseVerifierKey(verifierKey)
    const state = goodState(dir, origin)
    const size = await prove(options, signed, state)
    const written = await rewrite({ ...options, fs }, size)
    if (state === undefined) {
      await writeState({ dir, origin, fs }, written.edge)
      written.files.push(STATE_FILE)
    }
    return { written: written.files, removed: await removeStale(dir, size, fs) }
  } finally {
    await release()
  }
}

/** Undefined where it is damaged or missing. @throws LedgerError WRONG_ORIGIN */
function goodState(dir: string, origin: string): TreeState | undefined {
  try {
    const bytes = readIfPresent(join(dir, STATE_FILE))
    const state = bytes && parseState(bytes)
    if (state === undefined || state.origin === origin) return state
  } catch (error) {
    if (error instanceof LedgerError && error.code === 'STATE_DAMAGED') return undefined
    throw error
  }
  throw new LedgerError('WRONG_ORIGIN', `${STATE_FILE} is of another log`, 'Give the key of this log.')
}

/** Leaves that the tree must hold, after proof that the stored ones make what was signed. */
async function prove(
  { dir, elsewhere, progress }: RepairOptions,
  signed: SignedCheckpoint,
  state: TreeState | undefined,
): Promise<bigint> {
  const size = state !== undefined && state.size >= signed.size ? state.size : storedSize(dir, signed.size)
  const leaves = (from: bigint, to: bigint) =>
    counted(storedLeaves(dir, { from, to, size, elsewhere }), (done) => progress?.(from + done, 2n * size))
  let edge = await walked(extendEdge(EMPTY_EDGE, leaves(0n, signed.size)))
  if (!edgeRoot(edge.levels).equals(signed.root)) throw otherLeaves(`the ${signed.size} that were signed`)
  edge = await walked(extendEdge(edge, leaves(signed.size, size)))
  if (state !== undefined && size === state.size && !edgeRoot(edge.levels).equals(state.root))
    throw otherLeaves(`the ${size} of ${STATE_FILE}`)
  return size
}

function otherLeaves(which: string): LedgerError {
  return new LedgerError(
    'TILE_DAMAGED',
    `the leaves in the entry bundles are not ${which}`,
    'Run `agent-anchor ledger fsck`: it names the damaged entry bundles. Restore them from a copy first.',
  )
}

/** Writes each tile that isn't there as it must be. */
async function rewrite(
  { dir, elsewhere, progress, fs }: RepairOptions & { fs: FileSystem },
  size: bigint,
): Promise<{ files: string[]; edge: RightEdge }> {
  const files: string[] = []
  const leaves = storedLeaves(dir, { from: 0n, to: size, size, elsewhere })
  const told = counted(leaves, (done) => progress?.(size + done, 2n * size))
  const edge = await walked(extendEdge(EMPTY_EDGE, told), async ({ address, bytes }) => {
    const file = tilePath(address)
    const path = join(dir, file)
    if (readIfPresent(path)?.equals(bytes) === true) return
    await makeDirectory(dirname(path), { fs })
    await writeFileAtomic(path, bytes, { temporary: join(dir, TEMPORARY_FILE), fs })
    files.push(file)
  })
  return { files, edge }
}

async function removeStale(dir: string, size: bigint, fs: FileSystem): Promise<string[]> {
  const removed: string[] = []
  for (const { path, address } of walkTiles(dir)) {
    if (address === undefined || !isWithin(address, size)) continue
    if (checkOlder(dir, address, size, new Set()) === undefined) continue
    await removeFile(join(dir, path), fs)
    removed.push(path)
  }
  return removed
}

async function walked(
  tiles: Generator<TileFile, RightEdge>,
  each: (tile: TileFile) => Promise<void> = () => setImmediate(),
): Promise<RightEdge> {
  let step = tiles.next()
  for (; !step.done; step = tiles.next()) await each(step.value)
  return step.value
}

function* counted(leaves: Iterable<Buffer>, progress: (done: bigint) => void): Generator<Buffer> {
  let done = 0n
  for (const leaf of leaves) {
    yield leaf
    done += 1n
    if (done % BigInt(TILE_WIDTH) === 0n) progress(done)
  }
}
