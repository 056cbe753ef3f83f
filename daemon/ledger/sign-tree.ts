/** Signs a tree: after proof that it extends what was signed last, and durable before anybody hears of it. */
import { join } from 'node:path'
import { writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import { formatCheckpoint, type SignedCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import { LedgerError } from './errors.ts'
import { CHECKPOINT_FILE, TEMPORARY_FILE } from './files.ts'
import type { Integrator } from './integrate.ts'
import { remember } from './memory.ts'
import { formatNote, formatSignature, parseVerifierKey } from './note.ts'
import { proveConsistent } from './recover.ts'
import { edgeRoot, type RightEdge } from './right-edge.ts'

export interface Signing {
  /** Signs a note's text with the log key, wherever that is: 64 bytes. */
  readonly sign: (text: Buffer) => Buffer | Promise<Buffer>
  readonly verifierKey: string
  /** The key that this one follows: it may have signed the last checkpoint, and signs beside while it can. */
  readonly predecessor?: Predecessor | undefined
  /** A file outside the log's directory that holds the newest checkpoint too: see memory.ts. */
  readonly memory?: string
}

export interface Predecessor {
  readonly verifierKey: string
  /** Absent once it was destroyed. */
  readonly sign?: Signing['sign'] | undefined
}

/** @param last signed before this; undefined in a new log. @throws LedgerError SIGNING_FAILED, ROLLBACK, INCONSISTENT */
export async function signTree(
  { dir, origin, fs }: Integrator,
  signing: Signing,
  edge: RightEdge,
  last: SignedCheckpoint | undefined,
): Promise<SignedCheckpoint> {
  const { size } = edge
  const root = edgeRoot(edge.levels)
  if (last !== undefined) proveConsistent(dir, last, size, root)
  const signed = await signText(formatCheckpoint({ origin, size, root }), signing)
  const temporary = join(dir, TEMPORARY_FILE)
  await writeFileAtomic(join(dir, CHECKPOINT_FILE), Buffer.from(signed.note), { temporary, fs })
  if (signing.memory !== undefined) await remember(signing.memory, signed, fs)
  return signed
}

async function signText(
  text: string,
  { sign, verifierKey, predecessor }: Signing,
): Promise<SignedCheckpoint> {
  try {
    let note = formatNote(text, parseVerifierKey(verifierKey), await sign(Buffer.from(text)))
    if (predecessor?.sign !== undefined) {
      const beside = await predecessor.sign(Buffer.from(text))
      note += formatSignature(parseVerifierKey(predecessor.verifierKey), beside)
      verifyCheckpoint(note, predecessor.verifierKey)
    }
    return verifyCheckpoint(note, verifierKey)
  } catch (cause) {
    const remedy = 'Check that the log key can be opened and is that of the verifier key.'
    throw new LedgerError('SIGNING_FAILED', `no checkpoint was signed: ${messageOf(cause)}`, remedy, cause)
  }
}
