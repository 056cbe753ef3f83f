/**
 * The newest checkpoint that enough witnesses cosigned, kept beside the log's own: that one moves on every second, and
 * witnesses take their time.
 */
import { join } from 'node:path'
import type { FileSystem } from '../base/durable/file-system.ts'
import { writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import { parseSignedCheckpoint, type SignedCheckpoint } from './checkpoint.ts'
import { type Cosignature, verifyCosignatures, verifyCosigned } from './cosignature.ts'
import type { Damage } from './damage.ts'
import { decodeUtf8 } from './encoding.ts'
import { COSIGNED_FILE, readIfPresent } from './files.ts'
import { treeRoot } from './merkle-path.ts'
import { verifyNote } from './note.ts'
import { openReader } from './reader.ts'
import { storedNodes } from './tile-store.ts'

const TEMPORARY_FILE = '.cosigned.next'
/** All that {@link writeCosigned} writes to, by name. */
export const COSIGNED_FILES: readonly string[] = [COSIGNED_FILE, TEMPORARY_FILE]

/** As it stands, without believing it. @throws LedgerError MALFORMED_NOTE, MALFORMED_CHECKPOINT, UNREADABLE */
export function readCosigned(dir: string): SignedCheckpoint | undefined {
  const bytes = readIfPresent(join(dir, COSIGNED_FILE))
  return bytes && parseSignedCheckpoint(decodeUtf8(bytes))
}

/**
 * The newest checkpoint of the log under which at least `atLeast` of these witnesses stand, verified; undefined where
 * there is none yet.
 * @param verifierKey of the log
 * @param witnesses their verifier keys (type 0x04)
 * @throws LedgerError where what is stored is no such checkpoint: it was altered
 */
export function newestCosigned(
  dir: string,
  verifierKey: string,
  witnesses: readonly string[],
  atLeast: number,
): { checkpoint: SignedCheckpoint; cosignatures: Cosignature[] } | undefined {
  const stored = readCosigned(dir)
  if (stored === undefined) return undefined
  const found = verifyCosigned(stored.note, verifierKey, witnesses)
  return found.cosignatures.length >= atLeast ? found : undefined
}

/**
 * What is wrong with the file, where there is one.
 * @param verifierKeys those that the log has had: it may have been cosigned before the last rotation
 * @param witnesses as of {@link newestCosigned}
 */
export function* checkCosigned(
  dir: string,
  verifierKeys: readonly string[],
  witnesses: readonly string[],
): Generator<Damage> {
  try {
    const stored = readCosigned(dir)
    if (stored === undefined) return
    verifyNote(stored.note, verifierKeys)
    verifyCosignatures(stored.note, witnesses)
    const { size, root } = stored
    const newest = openReader(dir).checkpoint()?.size ?? 0n
    if (size > newest)
      yield { file: COSIGNED_FILE, what: `${size} leaves were cosigned, and ${newest} are signed` }
    else if (!treeRoot(size, storedNodes(dir, newest)).equals(root)) {
      yield { file: COSIGNED_FILE, what: `the ${size} leaves that were cosigned are not those stored` }
    }
  } catch (error) {
    yield { file: COSIGNED_FILE, what: messageOf(error) }
  }
}

/** Keeps a cosigned checkpoint in the place of an older one, durably. */
export function writeCosigned(dir: string, note: string, fs?: FileSystem): Promise<void> {
  const temporary = join(dir, TEMPORARY_FILE)
  return writeFileAtomic(join(dir, COSIGNED_FILE), Buffer.from(note), {
    temporary,
    ...(fs === undefined ? {} : { fs }),
  })
}
