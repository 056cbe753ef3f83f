/** Brings the stored tree back into memory when a ledger is opened, and refuses one that was tampered with. */
import { join } from 'node:path'
import { type SignedCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import { decodeUtf8 } from './encoding.ts'
import { LedgerError, RESTORE } from './errors.ts'
import { CHECKPOINT_FILE, readIfPresent, STATE_FILE } from './files.ts'
import { leafHash, verifyConsistency } from './merkle.ts'
import { consistencyPath } from './merkle-path.ts'
import { parseNote, parseVerifierKey } from './note.ts'
import { EMPTY_EDGE, edgeRoot, type RightEdge } from './right-edge.ts'
import { edgeAt, MAX_LEVEL } from './tile-path.ts'
import { readEntries, readTile, storedNodes } from './tile-store.ts'
import { parseState } from './tree-state.ts'
import { listSegments } from './wal-replay.ts'

export interface Stored {
  readonly edge: RightEdge
  /** Undefined in a new log. */
  readonly signed: SignedCheckpoint | undefined
}

/**
 * What is stored: the edge as the tree state names it, proved against the tiles, and the last signed checkpoint.
 * @param verifierKeys of which one must have signed it: the key in force, and the one before it
 * @throws LedgerError STATE_MISSING, STATE_DAMAGED, TILE_MISSING, TILE_DAMAGED, CHECKPOINT_MISSING,
 * CHECKPOINT_DAMAGED, WRONG_ORIGIN
 */
export function loadStored(dir: string, origin: string, verifierKeys: readonly string[]): Stored {
  const state = readIfPresent(join(dir, STATE_FILE))
  const note = readIfPresent(join(dir, CHECKPOINT_FILE))
  const edge = state === undefined ? EMPTY_EDGE : loadEdge(dir, state, origin)
  if (note === undefined) {
    // The first checkpoint, of no leaves, is signed before anything is appended.
    if (edge.size === 0n && listSegments(dir).length === 0) return { edge, signed: undefined }
    throw new LedgerError(
      'CHECKPOINT_MISSING',
      'the last signed checkpoint is gone, but its leaves are there',
      RESTORE,
    )
  }
  if (state === undefined) {
    throw new LedgerError('STATE_MISSING', 'state.json is gone, but the log has a checkpoint', RESTORE)
  }
  return { edge, signed: loadCheckpoint(note, verifierKeys) }
}

function loadEdge(dir: string, bytes: Buffer, origin: string): RightEdge {
  const state = parseState(bytes)
  if (state.origin !== origin) {
    throw new LedgerError(
      'WRONG_ORIGIN',
      `this log is ${JSON.stringify(state.origin)}, not ${JSON.stringify(origin)}`,
      'An origin never changes: configure the old one, or begin a new log in another directory.',
    )
  }
  const levels: Buffer[][] = []
  for (let level = 0; level <= MAX_LEVEL; level++) {
    const { index, width } = edgeAt(level, state.size)
    levels.push(width === 0 ? [] : readTile(dir, { level, index, width }))
  }
  if (!edgeRoot(levels).equals(state.root)) {
    throw new LedgerError(
      'TILE_DAMAGED',
      'the tiles at the right edge make another root than state.json',
      RESTORE,
    )
  }
  const { index, width } = edgeAt('entries', state.size)
  const entries = width === 0 ? [] : readEntries(dir, index, width).map((entry) => entry.bytes)
  if (entries.some((entry, i) => !leafHash(entry).equals(levels[0]![i]!))) {
    throw new LedgerError('TILE_DAMAGED', 'the last entry bundle does not hold what its tile says', RESTORE)
  }
  return { size: state.size, levels, entries }
}

/** @throws LedgerError CHECKPOINT_DAMAGED */
export function loadCheckpoint(bytes: Buffer, verifierKeys: readonly string[]): SignedCheckpoint {
  try {
    const note = decodeUtf8(bytes)
    const signed = new Set(parseNote(note).signatures.map(({ id }) => id.toString('hex')))
    const key = verifierKeys.find((text) => signed.has(parseVerifierKey(text).id.toString('hex')))
    return verifyCheckpoint(note, key ?? verifierKeys[0]!)
  } catch (cause) {
    if (cause instanceof LedgerError && cause.code === 'UNKNOWN_KEY') {
      const remedy = 'Give the ledger the log key that it had, or begin a new log in another directory.'
      throw new LedgerError('CHECKPOINT_DAMAGED', 'another key signed the last checkpoint', remedy, cause)
    }
    throw new LedgerError('CHECKPOINT_DAMAGED', 'the last checkpoint is not what was signed', RESTORE, cause)
  }
}

/**
 * Proves from the stored tiles that a tree extends the last signed checkpoint.
 * @throws LedgerError ROLLBACK if the tree is older, INCONSISTENT if it is another one, TILE_*.
 */
export function proveConsistent(dir: string, signed: SignedCheckpoint, size: bigint, root: Buffer): void {
  if (size < signed.size) {
    throw new LedgerError(
      'ROLLBACK',
      `the log holds ${size} leaves, but ${signed.size} were signed: these files are older than the checkpoint`,
      'Bring back the newer files; from a backup begin a new log with a new origin, in another directory.',
    )
  }
  const proof = consistencyPath(signed.size, size, storedNodes(dir, size))
  try {
    verifyConsistency({ oldSize: signed.size, oldRoot: signed.root, newSize: size, newRoot: root, proof })
  } catch (cause) {
    throw new LedgerError(
      'INCONSISTENT',
      `the first ${signed.size} leaves are not those that were signed`,
      'Run `agent-anchor verify`; bring back the signed files, or begin a new log in another directory.',
      cause,
    )
  }
}
