/** How certain an anchor is, looked up again until it is final. */
import type { Anchor, Finality } from './anchors.ts'
import type { BlockTag } from './chain.ts'
import { ChainError } from './chain-error.ts'
import type { LaneContext } from './lane-context.ts'

/** Raises the finality of the newest anchor, and notices where its block is another one now (a reorganisation). */
export async function refreshFinality(lane: LaneContext): Promise<void> {
  const newest = lane.record.anchors.at(-1)
  if (!newest || newest.finality === 'finalized') return
  const receipt = await lane.chain.receipt(newest.transaction)
  // Without a receipt the transaction is out of the chain: the head says so too, and then it is anchored again.
  if (!receipt) return
  const finality = await finalityOf(lane, receipt.blockNumber)
  if (receipt.blockHash === newest.blockHash && finality === newest.finality) return
  const block = await lane.chain.block(receipt.blockNumber)
  if (block?.hash !== receipt.blockHash) return
  const seen: Anchor = {
    ...newest,
    block: block.number,
    blockHash: block.hash,
    time: new Date(block.timestamp * 1000).toISOString(),
    finality,
    rpc: lane.chain.rpc.host,
  }
  lane.record.anchors = [...lane.record.anchors.slice(0, -1), seen]
  await lane.record.save()
}

/** By the chain's own tags; where it has none, by the number of blocks on top. */
async function finalityOf(lane: LaneContext, block: number): Promise<Finality> {
  const finalized = await numberOf(lane, 'finalized')
  if (finalized === undefined) {
    const latest = (await numberOf(lane, 'latest')) ?? 0
    return latest - block >= lane.confirmations ? 'finalized' : 'included'
  }
  if (finalized >= block) return 'finalized'
  return ((await numberOf(lane, 'safe')) ?? -1) >= block ? 'safe' : 'included'
}

async function numberOf({ chain }: LaneContext, tag: BlockTag): Promise<number | undefined> {
  try {
    return (await chain.block(tag))?.number
  } catch (error) {
    if (error instanceof ChainError && error.code === 'RPC_REFUSED') return undefined
    throw error
  }
}
