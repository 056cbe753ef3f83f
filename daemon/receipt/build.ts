/** Makes a receipt of records from the log's directory and the anchors that were made. */
import type { AnchorState } from '../chain-writer/anchors.ts'
import { formatBatchProof } from '../ledger/batch-proof.ts'
import { parseSignedCheckpoint, type SignedCheckpoint } from '../ledger/checkpoint.ts'
import { tlogProof } from '../ledger/proof.ts'
import type { LedgerReader } from '../ledger/reader.ts'
import { keysOf, signedBy } from './build-keys.ts'
import type { Receipt, ReceiptAnchor } from './receipt.ts'
import { ReceiptError } from './receipt-error.ts'
import type { Sources } from './sources.ts'

interface Anchored {
  readonly note: string
  readonly anchor: ReceiptAnchor
  readonly independent: boolean
}

/**
 * The receipt of the leaves at `indexes`, in their order in the log, under the earliest anchored checkpoint that
 * covers them (an independent chain's before the development chain's), or under the newest signed one where none is
 * anchored yet.
 * @throws ReceiptError NOT_IN_A_CHECKPOINT within the second before the next one is signed.
 */
export function buildReceipt(indexes: readonly bigint[], sources: Sources): Receipt {
  const { ledger } = sources
  const leaves = [...new Set(indexes)].sort((a, b) => (a < b ? -1 : 1))
  const last = leaves.at(-1) ?? 0n
  const newest = ledger.checkpoint()
  if (newest === undefined || newest.size <= last) {
    throw new ReceiptError(
      'NOT_IN_A_CHECKPOINT',
      `leaf ${last} is in no signed checkpoint yet`,
      'Checkpoints are signed about once a second: try again.',
    )
  }
  const covering = anchoredOf(sources.anchors)
    .filter(({ anchor }) => BigInt(anchor.size) > last && BigInt(anchor.size) <= newest.size)
    .sort((a, b) => Number(b.independent) - Number(a.independent) || bySize(a, b))
  const best = covering[0]
  const anchors = covering
    .filter(({ anchor }) => anchor.size === best?.anchor.size && anchor.root === best.anchor.root)
    .map(({ anchor }) => anchor)
  const cosigned = sources.cosigned()
  const plain = cosigned !== undefined && cosigned.size > last ? cosigned : newest
  const checkpoint = best === undefined ? plain : parseSignedCheckpoint(best.note)
  const keys = keysOf(checkpoint, newest, sources)
  return {
    records: leaves.map((leaf) => ({ record: ledger.entry(leaf).toString('utf8') })),
    proof: proofOf(leaves, checkpoint, ledger),
    ...keys,
    ...witnessedOf(checkpoint, cosigned, keys.verifierKey, ledger),
    anchors,
  }
}

/** The checkpoint that witnesses cosigned, where it is a later one than the receipt's, by the same key. */
function witnessedOf(
  own: SignedCheckpoint,
  cosigned: SignedCheckpoint | undefined,
  verifierKey: string,
  ledger: LedgerReader,
): Pick<Receipt, 'witnessed'> {
  if (cosigned === undefined || cosigned.size < own.size || cosigned.note === own.note) return {}
  if (!signedBy(cosigned, verifierKey)) return {}
  const consistency = ledger.consistencyProof(own.size, cosigned.size).map((hash) => hash.toString('base64'))
  return { witnessed: { checkpoint: cosigned.note, consistency } }
}

function proofOf(leaves: readonly bigint[], checkpoint: SignedCheckpoint, ledger: LedgerReader): string {
  if (leaves.length === 1) return tlogProof(ledger, leaves[0]!, checkpoint.note)
  const hashes = ledger.batchProof(leaves, checkpoint.size)
  return formatBatchProof({ indexes: leaves, hashes, checkpoint: checkpoint.note })
}

const bySize = (a: Anchored, b: Anchored) => (BigInt(a.anchor.size) < BigInt(b.anchor.size) ? -1 : 1)

function anchoredOf(state: AnchorState): Anchored[] {
  return state.chains.flatMap(({ name, kind, chainId, label, contract, logKey, anchors }) =>
    anchors.flatMap(({ note, size, root, transaction, block, blockHash, finality, rpc }) => {
      // Found on the chain, not made here: without its signed note it can stand in no proof.
      if (note === undefined) return []
      const where = { chain: name, chainId, contract, logKey, size, root, transaction, block, blockHash }
      const place = { ...where, finality, saidBy: rpc }
      const anchor = label === undefined ? place : { ...place, label }
      return [{ note, anchor, independent: kind === 'rpc' }]
    }),
  )
}
