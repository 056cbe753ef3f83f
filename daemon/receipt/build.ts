/** Makes a receipt of one record from the log's directory and the anchors that were made. */
import type { AnchorState } from '../chain-writer/anchors.ts'
import { tlogProof } from '../ledger/proof.ts'
import type { LedgerReader } from '../ledger/reader.ts'
import type { Receipt, ReceiptAnchor } from './receipt.ts'
import { ReceiptError } from './receipt-error.ts'

export interface Sources {
  readonly ledger: LedgerReader
  readonly verifierKey: string
  readonly anchors: AnchorState
}

interface Anchored {
  readonly note: string
  readonly anchor: ReceiptAnchor
  readonly independent: boolean
}

/**
 * The receipt of the leaf at `index`, under the earliest anchored checkpoint that covers it (an independent chain's
 * before the development chain's), or under the newest signed one where none is anchored yet.
 * @throws ReceiptError NOT_IN_A_CHECKPOINT within the second before the next one is signed.
 */
export function buildReceipt(index: bigint, sources: Sources): Receipt {
  const { ledger, verifierKey } = sources
  const newest = ledger.checkpoint()
  if (newest === undefined || newest.size <= index) {
    throw new ReceiptError(
      'NOT_IN_A_CHECKPOINT',
      `leaf ${index} is in no signed checkpoint yet`,
      'Checkpoints are signed about once a second: try again.',
    )
  }
  const covering = anchoredOf(sources.anchors)
    .filter(({ anchor }) => BigInt(anchor.size) > index && BigInt(anchor.size) <= newest.size)
    .sort((a, b) => Number(b.independent) - Number(a.independent) || bySize(a, b))
  const best = covering[0]
  const anchors = covering
    .filter(({ anchor }) => anchor.size === best?.anchor.size && anchor.root === best.anchor.root)
    .map(({ anchor }) => anchor)
  return {
    type: 'agent-anchor-receipt',
    schemaVersion: 1,
    record: ledger.entry(index).toString('utf8'),
    proof: tlogProof(ledger, index, best?.note),
    verifierKey,
    anchors,
  }
}

const bySize = (a: Anchored, b: Anchored) => (BigInt(a.anchor.size) < BigInt(b.anchor.size) ? -1 : 1)

function anchoredOf(state: AnchorState): Anchored[] {
  return state.chains.flatMap(({ name, kind, chainId, label, contract, logKey, anchors }) =>
    anchors.flatMap(({ note, size, root, transaction, block, blockHash }) => {
      // Found on the chain, not made here: without its signed note it can stand in no proof.
      if (note === undefined) return []
      const place = { chain: name, chainId, contract, logKey, size, root, transaction, block, blockHash }
      const anchor = label === undefined ? place : { ...place, label }
      return [{ note, anchor, independent: kind === 'rpc' }]
    }),
  )
}
