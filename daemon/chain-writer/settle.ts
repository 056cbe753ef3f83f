/** The end of a transaction: what it did is recorded, what it cost is booked. */
import { type Anchor, thinned } from './anchors.ts'
import { ChainError, garbage } from './chain-error.ts'
import { atLeast, atMost, highest } from './fees.ts'
import type { InFlight, SignedTransaction } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import { type AnchoredEvent, anchoredEvent, decodeHead, encode } from './registry.ts'
import { feesOf } from './signer.ts'
import { withCost } from './spending.ts'
import type { Receipt } from './values.ts'

export interface Mined {
  readonly transaction: SignedTransaction
  readonly receipt: Receipt
}

/** Its nonce went to something else, or to nothing: what it may have cost counts as spent. */
export async function giveUp(
  { journal, now }: LaneContext,
  inFlight: InFlight,
  nonce: number,
): Promise<void> {
  const most = inFlight.transactions.map(({ cost = '0' }) => BigInt(cost)).reduce(atLeast)
  const spent =
    nonce > inFlight.nonce
      ? { spending: withCost(journal.spending, { wei: most, anchor: false }, now()) }
      : {}
  await journal.put({ inFlight: undefined, nextNonce: nonce, ...spent })
}

export async function settle(
  lane: LaneContext,
  inFlight: InFlight,
  { transaction, receipt }: Mined,
): Promise<void> {
  const { journal } = lane
  const { purpose } = transaction
  if (receipt.status === 1n && purpose.type === 'deploy') {
    await lane.record.moveTo(receipt.contractAddress ?? purpose.contract)
  }
  if (receipt.status === 1n && purpose.type === 'anchor') {
    const event = eventIn(lane, receipt, purpose)
    // No event: the head stood there already, and the search for its event follows.
    if (event) {
      await assertHeadBearsOut(lane, event)
      await keep(lane, event, purpose.note)
    }
  }
  // Last: after a crash before this, the same receipt is found again, and recording it twice changes nothing.
  const cost = { wei: costOf(transaction, receipt), anchor: purpose.type === 'anchor' }
  const deployed = receipt.status === 1n && purpose.type === 'deploy' ? 1 : 0
  await journal.put({
    inFlight: undefined,
    nextNonce: inFlight.nonce + 1,
    spending: withCost(journal.spending, cost, lane.now()),
    deployments: (journal.deployments ?? 0) + deployed,
  })
  if (receipt.status !== 1n) {
    throw new ChainError(
      'REVERTED',
      `transaction ${transaction.hash} (${purpose.type}) was mined and failed`,
      'The gateway looks at the chain and tries again; if this goes on, look at the transaction in an explorer.',
    )
  }
}

/** What it cost, as the receipt says and never more for gas than it offered. */
function costOf({ raw, l1Fee = '0', cost }: SignedTransaction, receipt: Receipt): bigint {
  const offered = highest(feesOf(raw))
  const price = receipt.effectiveGasPrice ?? offered
  const gas = receipt.gasUsed * atMost(price, offered)
  const most = cost === undefined ? gas : BigInt(cost) - BigInt(l1Fee)
  return atMost(gas, most) + (receipt.l1Fee ?? BigInt(l1Fee))
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

/**
 * A receipt is easily invented, and one node behind a balancer may have it before another has its block: until the
 * contract itself has the head, the transaction is still in flight.
 */
async function assertHeadBearsOut(lane: LaneContext, event: AnchoredEvent): Promise<void> {
  const head = decodeHead(await lane.chain.call(lane.record.contract!, encode.head(lane.logKey)))
  if (head.size >= event.size) return
  const error = garbage(
    `${lane.chain.rpc.host} has a receipt for ${event.size} leaves, and the contract there only ${head.size}`,
  )
  lane.endpoints.distrust(error)
  throw error
}

/** Records an anchor that stands on the chain. */
export async function keep(lane: LaneContext, event: AnchoredEvent, note: string | undefined): Promise<void> {
  const block = await lane.chain.block(event.block)
  if (block?.hash !== event.blockHash) {
    const error = new ChainError(
      'RPC_GARBAGE',
      `${lane.chain.rpc.host} has no block ${event.block} with the hash ${event.blockHash}`,
      'The chain may be reorganising itself; the gateway looks again.',
    )
    lane.endpoints.distrust(error)
    throw error
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
