/**
 * The request of c2sp.org/tlog-witness: `old <size>`, a consistency proof of at most 63 hashes, a blank line, the
 * checkpoint. Pure.
 *
 * Threat model: a witness gets it from anybody. What is not exactly such a request is refused with MALFORMED_PROOF.
 */
import { decodeDecimal, decodeHash, decodeUtf8 } from '../ledger/encoding.ts'
import { LedgerError } from '../ledger/errors.ts'
import { MAX_PROOF } from '../ledger/merkle.ts'

export interface AddCheckpoint {
  /** Size of the newest checkpoint that the witness cosigned, as the client has it. */
  readonly oldSize: bigint
  readonly proof: readonly Buffer[]
  /** The signed checkpoint, verbatim. */
  readonly note: string
}

/** Beyond 63 hashes there is a checkpoint with room for signatures of algorithms to come. */
export const MAX_REQUEST = 128 << 10

export function formatAddCheckpoint({ oldSize, proof, note }: AddCheckpoint): string {
  return [`old ${oldSize}`, ...proof.map((hash) => hash.toString('base64')), '', note].join('\n')
}

/** Takes a request apart without believing it. @throws LedgerError MALFORMED_PROOF */
export function parseAddCheckpoint(body: Uint8Array): AddCheckpoint {
  try {
    const text = decodeUtf8(body)
    const split = text.indexOf('\n\n')
    const [old, ...hashes] = text.slice(0, Math.max(split, 0)).split('\n', MAX_PROOF + 2)
    if (!old?.startsWith('old ')) throw malformed('it does not begin with the old size')
    if (hashes.length > MAX_PROOF) throw malformed(`it has more than ${MAX_PROOF} hashes`)
    return {
      oldSize: decodeDecimal(old.slice(4)),
      proof: hashes.map(decodeHash),
      note: text.slice(split + 2),
    }
  } catch (cause) {
    if (cause instanceof LedgerError && cause.code === 'MALFORMED_PROOF') throw cause
    throw malformed('a number or hash is not in its one spelling', cause)
  }
}

function malformed(why: string, cause?: unknown): LedgerError {
  return new LedgerError(
    'MALFORMED_PROOF',
    `not a request to cosign: ${why}`,
    'Send what c2sp.org/tlog-witness says.',
    cause,
  )
}
