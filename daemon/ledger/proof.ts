/**
 * c2sp.org/tlog-proof@v1: everything needed to believe offline that a leaf is in a log, in one text.
 *
 * Threat model: the proof comes from whoever wants to be believed; only the verifier key is trusted.
 */
import { type Bytes, toBase64 } from '#platform'
import { parseSignedCheckpoint, type SignedCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import { decodeBase64, decodeDecimal, decodeHash } from './encoding.ts'
import { LedgerError } from './errors.ts'
import { leafHash, MAX_PROOF, verifyInclusion } from './merkle.ts'

const HEADER = 'c2sp.org/tlog-proof@v1'

export interface TlogProof {
  readonly index: bigint
  /** Inclusion proof, the leaf's sibling first. */
  readonly hashes: readonly Bytes[]
  /** The signed checkpoint, verbatim. */
  readonly checkpoint: string
  /** Bytes for the application, not covered by the proof. */
  readonly extra?: Bytes
}

export function formatTlogProof({ index, hashes, checkpoint, extra }: TlogProof): string {
  const lines = [
    HEADER,
    ...(extra === undefined ? [] : [`extra ${toBase64(extra)}`]),
    `index ${index}`,
    ...hashes.map(toBase64),
  ]
  return `${lines.join('\n')}\n\n${checkpoint}`
}

/** Takes a proof apart without believing it. @throws LedgerError MALFORMED_PROOF */
export function parseTlogProof(text: string): TlogProof {
  const split = text.indexOf('\n\n')
  if (split < 0) throw malformed('it has no blank line before the checkpoint')
  const lines = text.slice(0, split).split('\n', MAX_PROOF + 4)
  if (lines.shift() !== HEADER) throw malformed(`it does not begin with ${HEADER}`)
  try {
    const extra = lines[0]?.startsWith('extra ') ? decodeBase64(lines.shift()!.slice(6)) : undefined
    const index = lines.shift()
    if (!index?.startsWith('index ')) throw malformed('it has no index')
    if (lines.length > MAX_PROOF) throw malformed(`it has more than ${MAX_PROOF} hashes`)
    return {
      index: decodeDecimal(index.slice(6)),
      hashes: lines.map(decodeHash),
      checkpoint: text.slice(split + 2),
      ...(extra === undefined ? {} : { extra }),
    }
  } catch (cause) {
    if (cause instanceof LedgerError && cause.code === 'MALFORMED_PROOF') throw cause
    throw malformed('a number or hash is not in its one spelling', cause)
  }
}

/**
 * Believes that `leaf` stands in the log, or throws.
 * @returns where it stands, and the checkpoint that covers it.
 * @throws LedgerError MALFORMED_PROOF, BAD_PROOF, OUT_OF_RANGE, and what {@link verifyCheckpoint} throws.
 */
export function verifyTlogProof(
  proofText: string,
  leaf: Uint8Array,
  verifierKey: string,
): { index: bigint; checkpoint: SignedCheckpoint } {
  const { index, hashes, checkpoint: note } = parseTlogProof(proofText)
  const checkpoint = verifyCheckpoint(note, verifierKey)
  const { size, root } = checkpoint
  verifyInclusion({ index, size, root, leafHash: leafHash(leaf), proof: hashes })
  return { index, checkpoint }
}

/** What proofs are made from: a log's reader. */
export interface Prover {
  checkpoint(): SignedCheckpoint | undefined
  inclusionProof(index: bigint, size: bigint): Bytes[]
}

/**
 * The proof of one leaf under the newest checkpoint, or under an older one of this log that was kept (such as
 * the one that a chain holds).
 * @throws LedgerError OUT_OF_RANGE where the checkpoint does not reach the leaf, CHECKPOINT_MISSING.
 */
export function tlogProof(reader: Prover, index: bigint, note?: string): string {
  const checkpoint = note === undefined ? reader.checkpoint() : parseSignedCheckpoint(note)
  if (checkpoint === undefined) {
    throw new LedgerError('CHECKPOINT_MISSING', 'the log has no checkpoint yet', 'Start the gateway once.')
  }
  const hashes = reader.inclusionProof(index, checkpoint.size)
  return formatTlogProof({ index, hashes, checkpoint: checkpoint.note })
}

function malformed(why: string, cause?: unknown): LedgerError {
  return new LedgerError(
    'MALFORMED_PROOF',
    `not a tlog-proof: ${why}`,
    'Get the proof again from the log; it was altered or is of another format.',
    cause,
  )
}
