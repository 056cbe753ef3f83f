/**
 * One look at a chain and at most one step on it. Nothing is remembered between rounds that the chain could tell:
 * so a restart at any instant, a chain that lost its state and a reorganisation all come down to one more round.
 */
import { verifyConsistency } from '../ledger/merkle.ts'
import { assertChain } from './chain.ts'
import { ChainError } from './chain-error.ts'
import { type AnchorCheckpoint, dueIn } from './checkpoint.ts'
import { type ReadyContract, readyContract } from './contract-ready.ts'
import { startOverWhenLong } from './development-aid.ts'
import { refreshFinality } from './finality.ts'
import { verdictOn } from './head-verdict.ts'
import { follower, keep } from './in-flight.ts'
import type { InFlight } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import {
  anchoredEvent,
  anchoredTopics,
  decodeHead,
  encode,
  type Head,
  type Registration,
} from './registry.ts'
import { transact } from './transact.ts'

export interface Round {
  /** Milliseconds until the next one is worth making. */
  readonly wait: number
  /** The chain's head, where the round came that far. */
  readonly head?: Head
  /** What the contract says of our log's rights. */
  readonly registration?: Registration
  /** Anchors that the chain no longer has. */
  readonly lost?: number
}

/** Rounds of one lane. Each rejects with ChainError (or DurableError) where it can't go on; the next is a new try. */
export function rounds(lane: LaneContext): () => Promise<Round> {
  const follow = follower(lane)
  const { limits } = lane

  return async () => {
    await assertChain(lane.chain, lane.chainId)
    const following = await follow()
    if (following.state === 'waiting') return { wait: limits.pollMs }
    const replacing = following.state === 'replace' ? following.inFlight : undefined

    const ready = await readyContract(lane, replacing)
    if (!ready) return { wait: limits.pollMs }
    const { contract, registration } = ready
    const head = decodeHead(await lane.chain.call(contract, encode.head(lane.logKey)))
    const lost = await forgetLost(lane, head)
    const wait = await towards(lane, ready, head, replacing)
    return { wait, head, registration, lost }
  }
}

/** Anchors beyond the chain's head are gone with the blocks that held them. */
async function forgetLost(lane: LaneContext, head: Head): Promise<number> {
  const { record } = lane
  const left = record.anchors.filter(({ size }) => BigInt(size) <= head.size)
  const lost = record.anchors.length - left.length
  if (lost > 0) {
    record.anchors = left
    await record.save()
  }
  return lost
}

/** Takes the chain from its head to the newest checkpoint, if that is due; says when to look again. */
async function towards(
  lane: LaneContext,
  { contract, registration }: ReadyContract,
  head: Head,
  replacing?: InFlight,
): Promise<number> {
  const { limits, record, journal } = lane
  const newest = lane.newest()
  // What was to be replaced is needed no more (mined under another hash, or overtaken): its nonce is free again.
  const idle = async (wait: number) => {
    if (replacing) await journal.put(undefined)
    return wait
  }
  if (!newest || record.alarm) return idle(limits.checkMs)
  const { checkpoint, since } = newest

  switch (verdictOn(head, checkpoint, record.anchors)) {
    case 'equivocation':
      throw await alarm(
        lane,
        `the chain has the root ${head.root} for ${head.size} leaves, the ledger has another`,
      )
    case 'ledger-behind':
      throw new ChainError(
        'LEDGER_BEHIND',
        `the chain holds a tree of ${head.size} leaves, the ledger only ${checkpoint.size}`,
        'Was the ledger restored from a backup? Start a new log (another `ledger.origin`) rather than reuse this one.',
      )
    case 'anchored':
      await adopt(lane, contract, head, checkpoint)
      await refreshFinality(lane)
      if (lane.kind === 'development' && (await startOverWhenLong(lane))) return idle(0)
      return idle(limits.checkMs)
    case 'behind': {
      const due = dueIn(
        { anchored: head.size, newest: checkpoint.size, since, now: lane.now() },
        lane.anchoring,
      )
      if (due > 0 && !replacing) {
        await refreshFinality(lane)
        return Math.min(due, limits.checkMs)
      }
      const { size, root, note } = checkpoint
      const data = encode.anchor(
        lane.logKey,
        size,
        root,
        await proofFrom(lane, registration, head, checkpoint),
      )
      const purpose = { type: 'anchor', size: size.toString(), root, note } as const
      await transact(lane, { to: contract, data, purpose }, replacing)
      return limits.pollMs
    }
  }
}

/** Finds the event of a head that the chain has and our records lack: after a lost state directory. */
async function adopt(
  lane: LaneContext,
  contract: string,
  head: Head,
  checkpoint: AnchorCheckpoint,
): Promise<void> {
  if (head.size === 0n || lane.record.anchors.some(({ size }) => BigInt(size) === head.size)) return
  const topics = anchoredTopics(lane.logKey, head.size)
  const logs = await lane.chain.logs({ address: contract, topics, fromBlock: 'earliest', toBlock: 'latest' })
  const events = logs.map((log) => anchoredEvent(log, contract))
  const event = events.find((e) => e?.logKey === lane.logKey && e.size === head.size && e.root === head.root)
  if (event) await keep(lane, event, checkpoint.note)
}

/**
 * The proof that the newest checkpoint extends the chain's head, checked here wherever there is one: a ledger that
 * doesn't extend what is anchored is never anchored, whatever the contract would let through.
 */
async function proofFrom(
  lane: LaneContext,
  { policy }: Registration,
  head: Head,
  { size, root }: AnchorCheckpoint,
): Promise<readonly string[]> {
  if (head.size === 0n) return []
  const proof = await lane.consistencyProof?.(head.size, size)
  if (!proof) {
    if (policy !== 'consistent') return []
    throw new ChainError(
      'NO_CONSISTENCY_PROOF',
      `there is no proof (yet) that ${size} leaves extend the ${head.size} on the chain`,
      'It comes with the next checkpoint; if not, check the ledger with `agent-anchor verify`.',
    )
  }
  try {
    verifyConsistency({
      oldSize: head.size,
      newSize: size,
      oldRoot: Buffer.from(head.root, 'hex'),
      newRoot: Buffer.from(root, 'hex'),
      proof: proof.map((hash) => Buffer.from(hash, 'hex')),
    })
  } catch (error) {
    throw await alarm(
      lane,
      `the ledger of ${size} leaves doesn't extend the ${head.size} leaves on the chain`,
      error,
    )
  }
  return policy === 'consistent' ? proof : []
}

/** Stops the lane for good: contradicting evidence isn't to be written over. */
async function alarm(lane: LaneContext, title: string, cause?: unknown): Promise<ChainError> {
  lane.record.alarm = { title, since: new Date(lane.now()).toISOString() }
  await lane.record.save()
  return new ChainError('EQUIVOCATION', title, EQUIVOCATION_REMEDY, cause)
}

export const EQUIVOCATION_REMEDY =
  'Keep the ledger and this chain as they are: one of the two was tampered with, or two gateways share a key and an ' +
  'origin. Anchoring there stays off until the state directory of the chain-writer is removed on purpose.'
