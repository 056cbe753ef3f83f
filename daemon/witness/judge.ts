/** What a witness answers to a request, by c2sp.org/tlog-witness. Pure: the state is what it cosigned last. */
import type { Answer } from '../http/bounded-server.ts'
import { type Checkpoint, parseSignedCheckpoint, type SignedCheckpoint } from '../ledger/checkpoint.ts'
import { LedgerError } from '../ledger/errors.ts'
import { EMPTY_ROOT, verifyConsistency } from '../ledger/merkle.ts'
import { verifyNote } from '../ledger/note.ts'
import { type AddCheckpoint, parseAddCheckpoint } from './add-checkpoint.ts'

export type Verdict = { readonly cosign: SignedCheckpoint } | { readonly refuse: Answer }

export interface Asked extends AddCheckpoint {
  readonly checkpoint: SignedCheckpoint
  /** The verifier keys that are trusted for its origin. */
  readonly keys: readonly string[]
}

/** Reads a request and finds its log: 400 where it is none, 404 where the log is unknown, 403 where it did not sign. */
export function readRequest(
  body: Uint8Array,
  keysOf: (origin: string) => readonly string[] | undefined,
): Asked | { readonly refuse: Answer } {
  let request: AddCheckpoint
  let checkpoint: SignedCheckpoint
  try {
    request = parseAddCheckpoint(body)
    checkpoint = parseSignedCheckpoint(request.note)
  } catch (error) {
    return { refuse: refusal(400, error) }
  }
  const keys = keysOf(checkpoint.origin)
  if (keys === undefined) return { refuse: { status: 404, body: 'this log is not known here\n' } }
  try {
    verifyNote(request.note, keys)
  } catch (error) {
    return { refuse: refusal(403, error) }
  }
  return { ...request, checkpoint, keys }
}

/** @param last what was cosigned last of this log; undefined: nothing yet */
export function judge({ oldSize, proof, checkpoint }: Asked, last: Checkpoint | undefined): Verdict {
  const { size, root } = checkpoint
  const known = last?.size ?? 0n
  if (oldSize > size) return { refuse: { status: 400, body: 'the old size is above the new one\n' } }
  if (oldSize !== known) return { refuse: conflict(known) }
  // A second root for one size is a split view: never cosigned.
  if (last !== undefined && size === known && !root.equals(last.root)) return { refuse: conflict(known) }
  try {
    const oldRoot = last?.root ?? EMPTY_ROOT
    verifyConsistency({ oldSize, newSize: size, oldRoot, newRoot: root, proof })
  } catch (error) {
    return { refuse: refusal(422, error) }
  }
  return { cosign: checkpoint }
}

function conflict(size: bigint): Answer {
  return { status: 409, headers: { 'content-type': 'text/x.tlog.size' }, body: `${size}\n` }
}

function refusal(status: number, error: unknown): Answer {
  if (error instanceof LedgerError) return { status, body: `${error.message}\n` }
  throw error
}
