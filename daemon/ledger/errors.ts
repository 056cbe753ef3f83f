import { AnchorError } from '../base/errors.ts'

export type LedgerErrorCode =
  // The directory and its writer.
  | 'LOCKED'
  | 'CLOSED'
  | 'WRITE_FAILED'
  | 'LEAF_TOO_LONG'
  | 'SIGNING_FAILED'
  // What is stored is not what was written.
  | 'WAL_DAMAGED'
  | 'STATE_MISSING'
  | 'STATE_DAMAGED'
  | 'TILE_MISSING'
  | 'TILE_DAMAGED'
  | 'DIFFERENT_BYTES'
  | 'UNREADABLE'
  | 'CHECKPOINT_MISSING'
  | 'CHECKPOINT_DAMAGED'
  // Signing would contradict what was signed.
  | 'ROLLBACK'
  | 'INCONSISTENT'
  | 'WRONG_ORIGIN'
  // Input from outside.
  | 'MALFORMED_ENCODING'
  | 'MALFORMED_PATH'
  | 'MALFORMED_KEY'
  | 'MALFORMED_NOTE'
  | 'MALFORMED_CHECKPOINT'
  | 'MALFORMED_PROOF'
  | 'UNKNOWN_KEY'
  | 'BAD_SIGNATURE'
  | 'BAD_PROOF'
  | 'KEY_HISTORY'
  | 'OUT_OF_RANGE'

/** What goes wrong in the ledger: a closed code, what happened, what to do. */
export class LedgerError extends AnchorError<LedgerErrorCode> {}

export const RESTORE =
  'Run `agent-anchor verify` to see the extent, then restore the file from a copy; nothing is signed until then.'
