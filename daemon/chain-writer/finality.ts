/** How certain the anchors are, looked up again until they are final. */
import type { Anchor, Finality } from './anchors.ts'
import type { BlockTag, Chain } from './chain.ts'
import { ChainError } from './chain-error.ts'
import type { LaneContext } from './lane-context.ts'
import { secondOpinion } from './second-opinion.ts'

/** A round looks at so many at most: a backlog is worked off over several. */
const MOST_AT_ONCE = 32

/**
 * Raises the finality of the anchors that aren't final yet, and notices where a block is another one now (a
 * reorganisation). Where several endpoints are configured, two must say of one block hash that it is final.
 * @returns what keeps an anchor from being final though one endpoint says it is
 */
export async function refreshFinality(lane: LaneContext): Promise<string | undefined> {
  const open = lane.record.anchors.filter(({ finality }) => finality !== 'finalized')
  if (open.length === 0) return undefined
  const tips = await tipsOf(lane.chain)
  let hindrance: string | undefined
  const seen = new Map<Anchor, Anchor | undefined>()
  for (const anchor of open.slice(0, MOST_AT_ONCE)) {
    const level = levelOf(tips, anchor.block, lane.confirmations)
    const newest = anchor === lane.record.anchors.at(-1)
    // The newest block's hash stands for those below it.
    if (level === anchor.finality && !newest) continue
    if ((await lane.chain.block(anchor.block))?.hash !== anchor.blockHash) {
      seen.set(anchor, await whereNow(lane.chain, anchor, newest))
      continue
    }
    if (level !== 'finalized') {
      if (level !== anchor.finality)
        seen.set(anchor, { ...anchor, finality: level, rpc: lane.chain.rpc.host })
      continue
    }
    const opinion = await secondOpinion(lane, (other) => isFinal(other, anchor, lane.confirmations))
    if (opinion.says === 'alone') seen.set(anchor, { ...anchor, finality: level, rpc: lane.chain.rpc.host })
    else if (opinion.says === 'the-same') {
      seen.set(anchor, { ...anchor, finality: level, rpc: lane.chain.rpc.host, confirmedBy: opinion.host })
    } else {
      hindrance =
        opinion.says === 'otherwise'
          ? `${opinion.host} doesn't bear out that block ${anchor.block} (${anchor.blockHash}) is final`
          : `no second endpoint says whether block ${anchor.block} is final`
    }
  }
  const changed = [...seen].some(([before, after]) => before !== after)
  if (changed) {
    lane.record.anchors = lane.record.anchors.flatMap((anchor) => {
      if (!seen.has(anchor)) return [anchor]
      const now = seen.get(anchor)
      return now ? [now] : []
    })
    await lane.record.save()
  }
  return hindrance
}

/**
 * An anchor whose block is gone: with its transaction in another block, or out of the chain. The newest one stays
 * meanwhile: where it is gone, the head says so too, and it is anchored again.
 */
async function whereNow(chain: Chain, anchor: Anchor, newest: boolean): Promise<Anchor | undefined> {
  const receipt = await chain.receipt(anchor.transaction)
  if (!receipt) return newest ? anchor : undefined
  const block = await chain.block(receipt.blockNumber)
  if (block?.hash !== receipt.blockHash) return anchor
  return {
    ...anchor,
    block: block.number,
    blockHash: block.hash,
    time: new Date(block.timestamp * 1000).toISOString(),
    finality: 'included',
    rpc: chain.rpc.host,
  }
}

async function isFinal(chain: Chain, anchor: Anchor, confirmations: number): Promise<boolean> {
  if ((await chain.block(anchor.block))?.hash !== anchor.blockHash) return false
  if ((await chain.receipt(anchor.transaction))?.blockHash !== anchor.blockHash) return false
  return levelOf(await tipsOf(chain), anchor.block, confirmations) === 'finalized'
}

interface Tips {
  readonly latest: number
  /** Undefined where the chain has no such tag. */
  readonly safe: number | undefined
  readonly finalized: number | undefined
}

async function tipsOf(chain: Chain): Promise<Tips> {
  const latest = (await numberOf(chain, 'latest')) ?? 0
  const finalized = await numberOf(chain, 'finalized')
  return { latest, finalized, safe: finalized === undefined ? undefined : await numberOf(chain, 'safe') }
}

/** By the chain's own tags; where it has none, by the number of blocks on top. */
function levelOf({ latest, safe, finalized }: Tips, block: number, confirmations: number): Finality {
  if (finalized === undefined) return latest - block >= confirmations ? 'finalized' : 'included'
  if (finalized >= block) return 'finalized'
  return (safe ?? -1) >= block ? 'safe' : 'included'
}

async function numberOf(chain: Chain, tag: BlockTag): Promise<number | undefined> {
  try {
    return (await chain.block(tag))?.number
  } catch (error) {
    if (error instanceof ChainError && error.code === 'RPC_REFUSED') return undefined
    throw error
  }
}
