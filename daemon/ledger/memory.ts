/**
 * The newest checkpoint once more, outside the log's directory: where that was put back from an older copy, or taken
 * away, all in it fits together, and only who remembers a newer checkpoint can tell.
 */
import { basename, join } from 'node:path'
import type { FileSystem } from '../base/durable/file-system.ts'
import { writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import { parseSignedCheckpoint, type SignedCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import type { Damage } from './damage.ts'
import { decodeUtf8 } from './encoding.ts'
import { LedgerError } from './errors.ts'
import { CHECKPOINT_FILE, readIfPresent, STATE_FILE } from './files.ts'
import { treeRoot } from './merkle-path.ts'
import { storedNodes } from './tile-store.ts'
import { parseState } from './tree-state.ts'

/** Undefined where there is none yet, or one of another log. @throws LedgerError CHECKPOINT_DAMAGED, UNREADABLE */
export function remembered(file: string, origin: string): SignedCheckpoint | undefined {
  const bytes = readIfPresent(file)
  if (bytes === undefined) return undefined
  try {
    // Its signature is of no account here: who could write a wrong one could as well remove the file.
    const checkpoint = parseSignedCheckpoint(decodeUtf8(bytes))
    return checkpoint.origin === origin ? checkpoint : undefined
  } catch (cause) {
    const remedy = `If agent-anchor ledger fsck finds the log whole, remove ${file}: it is made anew from the log.`
    throw new LedgerError('CHECKPOINT_DAMAGED', `${file} is not what was written`, remedy, cause)
  }
}

export function remember(file: string, { note }: SignedCheckpoint, fs: FileSystem): Promise<void> {
  return writeFileAtomic(file, Buffer.from(note), { fs })
}

/** Checks the remembered checkpoint against the log, which may be growing: yields nothing where they agree. */
export function* checkMemory(file: string, dir: string, verifierKey: string): Generator<Damage> {
  const damage = (what: string): Damage => ({ file: basename(file), what })
  const bytes = readIfPresent(file)
  if (bytes === undefined) {
    if (readIfPresent(join(dir, CHECKPOINT_FILE)) !== undefined)
      yield damage('it is missing; it is made anew when the daemon starts')
    return
  }
  try {
    const { size, root } = verifyCheckpoint(decodeUtf8(bytes), verifierKey)
    const state = readIfPresent(join(dir, STATE_FILE))
    const stored = state === undefined ? 0n : parseState(state).size
    if (stored < size)
      yield damage(`the log holds ${stored} leaves, but ${size} were signed: it was put back from a copy`)
    else if (!treeRoot(size, storedNodes(dir, stored)).equals(root))
      yield damage(`the ${size} leaves that were signed are not those stored`)
  } catch (error) {
    yield damage(messageOf(error))
  }
}
