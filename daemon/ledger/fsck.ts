/**
 * Checks every byte that a log owns: checkpoint, tree state, tiles, entry bundles, write-ahead log. Reads only,
 * takes no lock, and raises no alarm about a daemon at work: the checkpoint is read before the state and the
 * state after the write-ahead log, so that each is covered by what is read after it.
 */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { messageOf } from '../base/errors.ts'
import { type SignedCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import type { Damage } from './damage.ts'
import { decodeUtf8 } from './encoding.ts'
import { CHECKPOINT_FILE, readIfPresent, STATE_FILE, WAL_DIRECTORY } from './files.ts'
import { checkLeftovers, checkOlder, isWithin, walkTiles } from './fsck-extra.ts'
import { checkTree } from './fsck-tree.ts'
import { checkWal, type WalFinding } from './fsck-wal.ts'
import { treeRoot } from './merkle-path.ts'
import { parseVerifierKey } from './note.ts'
import type { TileAddress } from './tile-path.ts'
import { storedNodes } from './tile-store.ts'
import { parseState, type TreeState } from './tree-state.ts'

export type { Damage }

export interface CheckOptions {
  /** Leaves before this one are not read again: an earlier check got so far. Their tiles above them are. */
  readonly from?: bigint | undefined
  /** Told of leaves as they are checked, in order, and how many there are; what it throws ends the check. */
  readonly progress?: ((checked: bigint, size: bigint) => void) | undefined
}

/**
 * Yields what is damaged: nothing for a log that is whole, running or not. Memory is constant in its size.
 * @throws LedgerError MALFORMED_KEY, UNREADABLE.
 */
export async function* checkLedger(
  dir: string,
  verifierKey: string,
  options: CheckOptions = {},
): AsyncGenerator<Damage> {
  const { name: origin } = parseVerifierKey(verifierKey)
  const signed = parsed(dir, CHECKPOINT_FILE, (bytes) => verifyCheckpoint(decodeUtf8(bytes), verifierKey))
  if (isDamage(signed)) yield signed
  const before = parsed(dir, STATE_FILE, parseState)
  const wal = await checkWal(dir, isDamage(before) ? 0n : before.size)
  yield* wal.damages
  const state = parsed(dir, STATE_FILE, parseState)
  if (isDamage(state)) yield state
  else yield* checkState(state, origin, isDamage(signed) ? undefined : signed, wal)
  const top = { signed: isDamage(signed) ? undefined : signed, state: isDamage(state) ? undefined : state }
  yield* checkTiles(dir, top, options)
}

function* checkState(
  state: TreeState,
  origin: string,
  signed: SignedCheckpoint | undefined,
  { first, segments }: WalFinding,
): Generator<Damage> {
  if (state.origin !== origin) yield { file: STATE_FILE, what: `it is of another log: ${state.origin}` }
  if (signed !== undefined && state.size < signed.size) {
    yield { file: STATE_FILE, what: `it holds ${state.size} leaves, but ${signed.size} were signed` }
  }
  if (first !== undefined && first > state.size) {
    yield {
      file: STATE_FILE,
      what: `leaves ${state.size} to ${first - 1n} are neither in tiles nor in the WAL`,
    }
  }
  // A log that has taken leaves has one, if an empty one, also after it was closed.
  if (segments === 0 && state.size > 0n) yield { file: WAL_DIRECTORY, what: 'its segments are missing' }
}

async function* checkTiles(
  dir: string,
  { signed, state }: { signed: SignedCheckpoint | undefined; state: TreeState | undefined },
  { from = 0n, progress }: CheckOptions,
): AsyncGenerator<Damage> {
  const top = state ?? signed
  const rootFile = state === undefined ? CHECKPOINT_FILE : STATE_FILE
  const size = top?.size ?? 0n
  const damaged = new Set<string>()
  const told = progress && ((checked: bigint) => progress(checked, size))
  for await (const damage of checkTree({ dir, size, root: top?.root, rootFile, from, progress: told })) {
    damaged.add(damage.file)
    yield damage
  }
  if (signed !== undefined && signed.size <= size && damaged.size === 0) {
    if (!treeRoot(signed.size, storedNodes(dir, size)).equals(signed.root)) {
      yield { file: CHECKPOINT_FILE, what: `the ${signed.size} leaves that were signed are not those stored` }
    }
  }
  yield* checkExtra(dir, size, damaged, state !== undefined)
}

/** How long an integration that has begun may take until the state follows its tiles. */
const INTEGRATION_MS = 3000
const PAUSE_MS = 100

async function* checkExtra(
  dir: string,
  size: bigint,
  damaged: ReadonlySet<string>,
  stateIsGood: boolean,
): AsyncGenerator<Damage> {
  const beyond: TileAddress[] = []
  for (const { path, address } of walkTiles(dir)) {
    if (address === undefined) yield { file: path, what: 'no log has a file of this name' }
    else if (!isWithin(address, size)) beyond.push(address)
    else if (!damaged.has(path)) yield* olderDamage(dir, address, size, damaged)
  }
  // Without a state nobody knows how far the tree reaches, and beside a damaged tree nobody can tell.
  if (!stateIsGood || damaged.size > 0 || beyond.length === 0) return
  const leftovers = [...checkLeftovers(dir, beyond, size)]
  if (leftovers.length === 0) return
  // A daemon at work may have integrated them meanwhile, and removed the leaves to compare with.
  const grown = await grownState(dir, size)
  if (grown === undefined) {
    yield* leftovers
    return
  }
  yield* checkTree({ dir, size: grown.size, root: grown.root, rootFile: STATE_FILE, from: size })
  for (const address of beyond) {
    if (isWithin(address, grown.size)) yield* olderDamage(dir, address, grown.size, damaged)
  }
}

function* olderDamage(
  dir: string,
  address: TileAddress,
  size: bigint,
  damaged: ReadonlySet<string>,
): Generator<Damage> {
  const damage = checkOlder(dir, address, size, damaged)
  if (damage !== undefined) yield damage
}

/** The tree state once it is past `size`; undefined if no daemon carries it on. */
async function grownState(dir: string, size: bigint): Promise<TreeState | undefined> {
  for (let waited = 0; waited < INTEGRATION_MS; waited += PAUSE_MS) {
    const state = parsed(dir, STATE_FILE, parseState)
    if (!isDamage(state) && state.size > size) return state
    await setTimeout(PAUSE_MS)
  }
  return undefined
}

function parsed<T>(dir: string, file: string, parse: (bytes: Buffer) => T): T | Damage {
  try {
    const bytes = readIfPresent(join(dir, file))
    return bytes === undefined ? { file, what: 'it is missing' } : parse(bytes)
  } catch (error) {
    return { file, what: messageOf(error) }
  }
}

function isDamage<T extends object>(value: T | Damage): value is Damage {
  return 'file' in value
}
