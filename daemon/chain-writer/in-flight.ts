/**
 * Follows the transaction in flight to its end by polling receipts: never by waiting for one hash, which hangs where
 * a replacement was mined instead.
 */
import { type Anchor, thinned } from './anchors.ts'
import { ChainError } from './chain-error.ts'
import type { InFlight, SignedTransaction } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import { type AnchoredEvent, anchoredEvent } from './registry.ts'
import { send } from './transact.ts'
import type { Receipt } from './values.ts'

export type Following =
  /** Nothing is in flight (any more): go on. */
  | { readonly state: 'clear' }
  /** Look again later. */
  | { readonly state: 'waiting' }
  /** To be signed anew with the same nonce: for a newer checkpoint, or for higher fees. */
  | { readonly state: 'replace'; readonly inFlight: InFlight }

/** One that follows for one lane; it remembers since when the chain's nonce makes no sense. */
export function follower(lane: LaneContext): () => Promise<Following> {
  const { chain, journal, signer, limits } = lane
  let oddSince: number | undefined

  const patient = () => {
    oddSince ??= lane.now()
    return lane.now() - oddSince < limits.patienceMs
  }

  return async () => {
    const { inFlight } = journal
    if (!inFlight) return { state: 'clear' }
    if (inFlight.chainId !== lane.chainId) {
      await journal.put(undefined)
      return { state: 'clear' }
    }
    for (const transaction of inFlight.transactions.toReversed()) {
      const receipt = await chain.receipt(transaction.hash)
      if (!receipt) continue
      oddSince = undefined
      await settle(lane, transaction, receipt)
      return { state: 'clear' }
    }

    const nonce = await chain.nonce(signer.address)
    if (nonce !== inFlight.nonce) {
      // Below: the chain went back (a development chain that lost its state, a reorganisation). Above: mined a moment
      // ago, or by a node that lags, or somebody else has the key. Either way the head tells what is to be done.
      if (patient()) return { state: 'waiting' }
      oddSince = undefined
      await journal.put(undefined)
      return { state: 'clear' }
    }
    oddSince = undefined

    const last = inFlight.transactions.at(-1)!
    const tired = lane.now() - last.signed > limits.replaceMs
    for (const { hash } of inFlight.transactions) {
      if (await chain.knows(hash)) return tired ? { state: 'replace', inFlight } : { state: 'waiting' }
    }
    // No node has it: it was signed but never sent, or dropped. The newest checkpoint goes out in its place.
    const newest = lane.newest()?.checkpoint
    const outdated = last.purpose.type === 'anchor' && newest && newest.size > BigInt(last.purpose.size)
    if (outdated || tired) return { state: 'replace', inFlight }
    await send(lane, last.raw)
    return { state: 'waiting' }
  }
}

async function settle(lane: LaneContext, transaction: SignedTransaction, receipt: Receipt): Promise<void> {
  const { purpose } = transaction
  if (receipt.status === 1n && purpose.type === 'deploy') {
    await lane.record.moveTo(purpose.contract)
  }
  if (receipt.status === 1n && purpose.type === 'anchor') {
    const event = eventIn(lane, receipt, purpose)
    // No event: the head stood there already, and the search for its event follows.
    if (event) await keep(lane, event, purpose.note)
  }
  // Last: after a crash before this, the same receipt is found again, and recording it twice changes nothing.
  await lane.journal.put(undefined)
  if (receipt.status !== 1n) {
    throw new ChainError(
      'REVERTED',
      `transaction ${transaction.hash} (${purpose.type}) was mined and failed`,
      'The gateway looks at the chain and tries again; if this goes on, look at the transaction in an explorer.',
    )
  }
}

function eventIn(
  lane: LaneContext,
  receipt: Receipt,
  wanted: { size: string; root: string },
): AnchoredEvent | undefined {
  const { contract } = lane.record
  if (!contract) return undefined
  return receipt.logs
    .map((log) => anchoredEvent(log, contract))
    .find((e) => e?.logKey === lane.logKey && e.size === BigInt(wanted.size) && e.root === wanted.root)
}

/** Records an anchor that stands on the chain. */
export async function keep(lane: LaneContext, event: AnchoredEvent, note: string | undefined): Promise<void> {
  const block = await lane.chain.block(event.block)
  if (block?.hash !== event.blockHash) {
    throw new ChainError(
      'RPC_GARBAGE',
      `${lane.chain.rpc.host} has no block ${event.block} with the hash ${event.blockHash}`,
      'The chain may be reorganising itself; the gateway looks again.',
    )
  }
  const anchor: Anchor = {
    size: event.size.toString(),
    root: event.root,
    ...(note === undefined ? {} : { note }),
    transaction: event.transaction,
    block: event.block,
    blockHash: event.blockHash,
    time: new Date(block.timestamp * 1000).toISOString(),
    finality: 'included',
    rpc: lane.chain.rpc.host,
  }
  lane.record.anchors = thinned(lane.record.anchors, anchor)
  await lane.record.save()
}
