/**
 * Batch proofs as text: of many leaves, and the signed checkpoint whose tree they stand in. Format: docs/formats.md;
 * it is c2sp.org/tlog-proof with several index lines. A single leaf's proof is a tlog-proof.
 */
import { type Bytes, toBase64 } from '#platform'
import { MAX_BATCH, mostHashes } from './batch-path.ts'
import { decodeDecimal, decodeHash } from './encoding.ts'
import { LedgerError } from './errors.ts'

export const BATCH_HEADER = 'agent-anchor/batch-proof@v1'

export interface BatchProof {
  /** Ascending. */
  readonly indexes: readonly bigint[]
  /** In the order of batch-path.ts. */
  readonly hashes: readonly Bytes[]
  /** The signed checkpoint, verbatim. */
  readonly checkpoint: string
}

export function formatBatchProof({ indexes, hashes, checkpoint }: BatchProof): string {
  const lines = [BATCH_HEADER, ...indexes.map((index) => `index ${index}`), ...hashes.map(toBase64)]
  return `${lines.join('\n')}\n\n${checkpoint}`
}

/** Takes a proof apart without believing it. @throws LedgerError MALFORMED_PROOF */
export function parseBatchProof(text: string): BatchProof {
  const split = text.indexOf('\n\n')
  if (split < 0) throw malformed('it has no blank line before the checkpoint')
  const [header, ...lines] = text.slice(0, split).split('\n', MAX_BATCH + mostHashes(MAX_BATCH) + 2)
  if (header !== BATCH_HEADER) throw malformed(`it does not begin with ${BATCH_HEADER}`)
  const end = lines.findIndex((line) => !line.startsWith('index '))
  const count = end < 0 ? lines.length : end
  if (count === 0 || count > MAX_BATCH) throw malformed(`it has not 1 to ${MAX_BATCH} indexes`)
  if (lines.length - count > mostHashes(count)) throw malformed('it has more hashes than its leaves can need')
  try {
    return {
      indexes: lines.slice(0, count).map((line) => decodeDecimal(line.slice('index '.length))),
      hashes: lines.slice(count).map(decodeHash),
      checkpoint: text.slice(split + 2),
    }
  } catch (cause) {
    throw malformed('a number or hash is not in its one spelling', cause)
  }
}

function malformed(why: string, cause?: unknown): LedgerError {
  return new LedgerError(
    'MALFORMED_PROOF',
    `not a batch proof: ${why}`,
    'Get the proof again from the log; it was altered or is of another format.',
    cause,
  )
}
