/**
 * Follows the transaction in flight to its end by polling receipts: never by waiting for one hash, which hangs where
 * a replacement was mined instead.
 */
import { type Chain, chainOver } from './chain.ts'
import { ChainError } from './chain-error.ts'
import type { InFlight, SignedTransaction } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import { giveUp, type Mined, settle } from './settle.ts'
import { send, spread } from './transact.ts'

export type Following =
  /** Nothing is in flight (any more): go on. */
  | { readonly state: 'clear' }
  /** Look again later. */
  | { readonly state: 'waiting' }
  /** To be signed anew with the same nonce: for a newer checkpoint, or for higher fees. */
  | { readonly state: 'replace'; readonly inFlight: InFlight }

const CLEAR = { state: 'clear' } as const
const WAITING = { state: 'waiting' } as const

export async function follow(lane: LaneContext): Promise<Following> {
  const { chain, journal, signer, limits, doubts } = lane
  const { inFlight } = journal
  if (!inFlight) return CLEAR
  if (inFlight.chainId !== lane.chainId) {
    await journal.put({ inFlight: undefined })
    return CLEAR
  }
  const mined = await findReceipt(chain, inFlight)
  if (mined) {
    doubts.inFlight.over()
    await settle(lane, inFlight, mined)
    return CLEAR
  }

  const nonce = await chain.nonce(signer.address)
  if (nonce !== inFlight.nonce) {
    // Below: the chain went back (a development chain that lost its state, a reorganisation). Above: mined a moment
    // ago, or by a node that lags, or somebody else has the key. Either way the head tells what is to be done.
    if ((await minedElsewhere(lane, inFlight)) || !doubts.inFlight.lasts()) return WAITING
    doubts.inFlight.over()
    await giveUp(lane, inFlight, nonce)
    return CLEAR
  }
  doubts.inFlight.over()

  const last = inFlight.transactions.at(-1)!
  const tired = lane.now() - last.signed > limits.replaceMs
  if (tired) {
    if (await minedElsewhere(lane, inFlight)) return WAITING
    await assertMoving(lane, last)
    return { state: 'replace', inFlight }
  }
  for (const { hash } of inFlight.transactions) if (await chain.knows(hash)) return WAITING
  // No node has it: it was signed but never sent, or dropped. The newest checkpoint goes out in its place.
  const newest = lane.newest()?.checkpoint
  const outdated = last.purpose.type === 'anchor' && newest && newest.size > BigInt(last.purpose.size)
  if (outdated) return { state: 'replace', inFlight }
  const sent = await (inFlight.transactions.length > 1 ? spread(lane, last.raw) : send(lane, last.raw))
  return sent === 'too-cheap' ? { state: 'replace', inFlight } : WAITING
}

async function findReceipt(chain: Chain, { transactions }: InFlight): Promise<Mined | undefined> {
  for (const transaction of transactions.toReversed()) {
    const receipt = await chain.receipt(transaction.hash)
    if (receipt) return { transaction, receipt }
  }
  return undefined
}

/** Whether another endpoint has the receipt that the first one lacks: that one lags, then, and rests. */
async function minedElsewhere(lane: LaneContext, inFlight: InFlight): Promise<boolean> {
  for (const rpc of lane.endpoints.others()) {
    try {
      if (!(await findReceipt(chainOver(rpc), inFlight))) continue
    } catch (error) {
      if (error instanceof ChainError) continue
      throw error
    }
    lane.endpoints.distrust(
      new ChainError(
        'RPC_GARBAGE',
        `${lane.chain.rpc.host} doesn't know of a transaction that ${rpc.host} says is mined`,
        'It lags or lies: replace it in `rpc` of this chain if it stays so.',
      ),
    )
    return true
  }
  return false
}

/**
 * A chain that makes no blocks can't be hurried by higher fees; an endpoint that stands still neither.
 * @throws ChainError STALLED
 */
async function assertMoving(lane: LaneContext, last: SignedTransaction): Promise<void> {
  const latest = await lane.chain.block('latest')
  if (!latest || latest.timestamp * 1000 >= last.signed - CLOCK_SKEW_MS) return
  await spread(lane, last.raw)
  throw new ChainError(
    'STALLED',
    `the newest block of ${lane.chain.rpc.host} is of ${new Date(latest.timestamp * 1000).toISOString()}: none came since transaction ${last.hash} was sent`,
    'Look whether the chain stands still or only this endpoint; then configure another in `rpc`. It is sent again until then.',
  )
}

const CLOCK_SKEW_MS = 30_000
