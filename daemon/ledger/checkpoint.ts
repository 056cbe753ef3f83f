/**
 * Checkpoints, c2sp.org/tlog-checkpoint v1.0.0: a signed note of origin, size and root. We write no extension lines;
 * another log may, and they mean nothing to us.
 */
import { type Bytes, equal, toBase64 } from '#platform'
import { decodeDecimal, decodeHash } from './encoding.ts'
import { LedgerError } from './errors.ts'
import { EMPTY_ROOT } from './merkle.ts'
import { parseNote, parseVerifierKey, verifyNote } from './note.ts'

export interface Checkpoint {
  readonly origin: string
  readonly size: bigint
  /** 32 bytes. */
  readonly root: Bytes
}

export interface SignedCheckpoint extends Checkpoint {
  /** The signed note, verbatim. */
  readonly note: string
}

/** The note's text, with its final newline. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${toBase64(root)}\n`
}

/** @throws LedgerError MALFORMED_CHECKPOINT */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split('\n')
  const [origin, size, root] = lines
  if (lines.pop() !== '' || lines.length < 3 || lines.includes('')) {
    throw malformed('it is not origin, size and root')
  }
  let checkpoint: Checkpoint
  try {
    checkpoint = { origin: origin!, size: decodeDecimal(size!), root: decodeHash(root!) }
  } catch (cause) {
    throw malformed('its size or root is not in its one spelling', cause)
  }
  if (checkpoint.size === 0n && !equal(checkpoint.root, EMPTY_ROOT)) throw malformed('a root for no leaves')
  return checkpoint
}

/** Reads a signed checkpoint without believing it. @throws LedgerError MALFORMED_NOTE, MALFORMED_CHECKPOINT */
export function parseSignedCheckpoint(note: string): SignedCheckpoint {
  return { ...parseCheckpoint(parseNote(note).text), note }
}

/**
 * Reads a checkpoint that the log signed. The key's name is the log's origin: one key speaks for one log.
 * @throws LedgerError as {@link verifyNote} does, and WRONG_ORIGIN.
 */
export function verifyCheckpoint(note: string, verifierKey: string): SignedCheckpoint {
  const checkpoint = { ...parseCheckpoint(verifyNote(note, [verifierKey]).text), note }
  const { name } = parseVerifierKey(verifierKey)
  if (checkpoint.origin !== name) {
    throw new LedgerError(
      'WRONG_ORIGIN',
      `a checkpoint of ${JSON.stringify(checkpoint.origin)}, signed by the key of ${name}`,
      'Give the verifier key of the log that the checkpoint names.',
    )
  }
  return checkpoint
}

function malformed(why: string, cause?: unknown): LedgerError {
  return new LedgerError(
    'MALFORMED_CHECKPOINT',
    `not a checkpoint: ${why}`,
    'Get the checkpoint again from the log; it was altered or is of another format.',
    cause,
  )
}
