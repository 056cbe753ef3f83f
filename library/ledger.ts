/** The transparency log's formats for other programs: notes, checkpoints, cosignatures, proofs, keys. No I/O. */
export { AnchorError } from '../daemon/base/errors.ts'
export { type Batch, batchPath, MAX_BATCH, verifyBatch } from '../daemon/ledger/batch-path.ts'
export { type BatchProof, formatBatchProof, parseBatchProof } from '../daemon/ledger/batch-proof.ts'
export {
  type Checkpoint,
  formatCheckpoint,
  parseCheckpoint,
  parseSignedCheckpoint,
  type SignedCheckpoint,
  verifyCheckpoint,
} from '../daemon/ledger/checkpoint.ts'
export {
  type Cosignature,
  type Cosigner,
  cosigner,
  verifyCosignatures,
  verifyCosigned,
} from '../daemon/ledger/cosignature.ts'
export { LedgerError, type LedgerErrorCode } from '../daemon/ledger/errors.ts'
export {
  type KeySpan,
  keyFor,
  keyHistory,
  type RecordedSuccession,
  readSuccession,
  type Succession,
  successionText,
} from '../daemon/ledger/key-history.ts'
export {
  type Consistency,
  EMPTY_ROOT,
  type Inclusion,
  leafHash,
  nodeHash,
  rootOf,
  verifyConsistency,
  verifyInclusion,
} from '../daemon/ledger/merkle.ts'
export { consistencyPath, inclusionPath, type NodeSource, treeRoot } from '../daemon/ledger/merkle-path.ts'
export {
  ed25519Signer,
  formatNote,
  formatVerifierKey,
  type Note,
  type NoteSignature,
  type NoteSigner,
  parseNote,
  parseVerifierKey,
  type VerifierKey,
  verifyNote,
} from '../daemon/ledger/note.ts'
export {
  formatTlogProof,
  type Prover,
  parseTlogProof,
  type TlogProof,
  tlogProof,
  verifyTlogProof,
} from '../daemon/ledger/proof.ts'
export { parseTilePath, type TileAddress, tilePath, widthAt } from '../daemon/ledger/tile-path.ts'
