/** The proof in a receipt, of one leaf or of several, taken apart and judged. */

import { verifyBatch } from '../ledger/batch-path.ts'
import { BATCH_HEADER, parseBatchProof } from '../ledger/batch-proof.ts'
import { type Checkpoint, parseSignedCheckpoint, type SignedCheckpoint } from '../ledger/checkpoint.ts'
import { leafHash, verifyInclusion } from '../ledger/merkle.ts'
import { parseTlogProof } from '../ledger/proof.ts'

export interface HeldProof {
  /** One for each record of the receipt, if the proof is of as many. */
  readonly indexes: readonly bigint[]
  /** Not believed yet. */
  readonly checkpoint: SignedCheckpoint
  /** @throws LedgerError BAD_PROOF, OUT_OF_RANGE unless the leaves stand at `indexes` under the checkpoint */
  verify(leaves: readonly Uint8Array[], checkpoint: Checkpoint): void
}

/** @throws LedgerError MALFORMED_PROOF, MALFORMED_NOTE, MALFORMED_CHECKPOINT */
export function readProof(text: string): HeldProof {
  if (text.startsWith(BATCH_HEADER)) {
    const { indexes, hashes, checkpoint } = parseBatchProof(text)
    return {
      indexes,
      checkpoint: parseSignedCheckpoint(checkpoint),
      verify: (leaves, { size, root }) =>
        verifyBatch({ indexes, size, root, proof: hashes, leafHashes: leaves.map(leafHash) }),
    }
  }
  const { index, hashes, checkpoint } = parseTlogProof(text)
  return {
    indexes: [index],
    checkpoint: parseSignedCheckpoint(checkpoint),
    verify(leaves, { size, root }) {
      for (const leaf of leaves)
        verifyInclusion({ index, size, root, proof: hashes, leafHash: leafHash(leaf) })
    },
  }
}
