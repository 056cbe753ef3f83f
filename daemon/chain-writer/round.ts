/**
 * One look at a chain and at most one step on it. Nothing is remembered between rounds that the chain could tell:
 * so a restart at any instant, a chain that lost its state and a reorganisation all come down to one more round.
 */
import { verifyConsistency } from '../ledger/merkle.ts'
import type { Chain } from './chain.ts'
import { ChainError } from './chain-error.ts'
import { type AnchorCheckpoint, dueIn } from './checkpoint.ts'
import { type ReadyContract, readyContract } from './contract-ready.ts'
import { startOverWhenLong } from './development-aid.ts'
import { refreshFinality } from './finality.ts'
import { verdictOn } from './head-verdict.ts'
import { follow } from './in-flight.ts'
import type { InFlight } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import { anchoredEvent, anchoredTopics, decodeHead, encode, type Head } from './registry.ts'
import { refuseContradicted, secondOpinion, unconfirmed } from './second-opinion.ts'
import { keep } from './settle.ts'
import { transact } from './transact.ts'

export interface Round {
  /** Milliseconds until the next one is worth making. */
  readonly wait: number
  /** Anchors that the chain no longer has. */
  readonly lost?: number
  /** What keeps an anchor from being final that one endpoint calls final. */
  readonly hindrance?: string | undefined
}

/** One round of a lane. It rejects with ChainError (or DurableError) where it can't go on; the next is a new try. */
export async function makeRound(lane: LaneContext): Promise<Round> {
  const { limits, endpoints } = lane
  endpoints.newRound()
  const following = await follow(lane)
  if (following.state === 'waiting') return { wait: limits.pollMs }
  const replacing = following.state === 'replace' ? following.inFlight : undefined

  const ready = await readyContract(lane, replacing)
  if (!ready) return { wait: limits.pollMs }
  const { contract, registration } = ready
  if (lane.journal.deployments) await lane.journal.put({ deployments: 0 })
  const head = await headOf(lane, lane.chain, contract)
  const lost = await forgetLost(lane, contract, head)
  try {
    return { ...(await towards(lane, ready, head, replacing)), lost }
  } finally {
    // Behind what is kept of it, also where the round ends in an error.
    lane.saw({ head, registration })
  }
}

const headOf = async (lane: LaneContext, chain: Chain, contract: string) =>
  decodeHead(await chain.call(contract, encode.head(lane.logKey)))

/**
 * Anchors beyond the chain's head are gone with the blocks that held them. That is grave, and what an endpoint says
 * that only lags: so it must be borne out by another, or last.
 */
async function forgetLost(lane: LaneContext, contract: string, head: Head): Promise<number> {
  const { record, doubts } = lane
  const left = record.anchors.filter(({ size }) => BigInt(size) <= head.size)
  const lost = record.anchors.length - left.length
  if (lost === 0) {
    doubts.loss.over()
    return 0
  }
  const had = BigInt(record.anchors.at(-1)!.size)
  const what = `the chain holds ${head.size} leaves and no longer ${had}`
  const opinion = await secondOpinion(lane, async (other) => (await headOf(lane, other, contract)).size < had)
  refuseContradicted(lane, opinion, what)
  if (opinion.says !== 'the-same' && !doubts.loss.lasts()) {
    throw unconfirmed(`${lane.chain.rpc.host} says that ${what}`)
  }
  doubts.loss.over()
  record.anchors = left
  await record.save()
  return lost
}

/** Takes the chain from its head to the newest checkpoint, if that is due; says when to look again. */
async function towards(
  lane: LaneContext,
  { contract, registration }: ReadyContract,
  head: Head,
  replacing?: InFlight,
): Promise<Pick<Round, 'wait' | 'hindrance'>> {
  const { limits, record, journal } = lane
  const newest = lane.newest()
  // What was to be replaced is needed no more (mined under another hash, or overtaken): its nonce is free again.
  const idle = async (wait: number) => {
    if (replacing) await journal.put({ inFlight: undefined })
    return wait
  }
  if (!newest || lane.alarm.alarm) return { wait: await idle(limits.checkMs) }
  const { checkpoint, since } = newest

  switch (verdictOn(head, checkpoint, record.anchors)) {
    case 'equivocation':
      throw await contradiction(lane, contract, head, checkpoint)
    case 'ledger-behind':
      throw ledgerBehind(`the chain holds a tree of ${head.size} leaves`, checkpoint)
    case 'anchored': {
      await adopt(lane, contract, head, checkpoint)
      const hindrance = await refreshFinality(lane)
      if (lane.kind === 'development' && (await startOverWhenLong(lane))) return { wait: await idle(0) }
      return { wait: await idle(limits.checkMs), hindrance }
    }
    case 'behind': {
      const due = dueIn(
        { anchored: head.size, newest: checkpoint.size, since, now: lane.now() },
        lane.anchoring,
      )
      if (due > 0 && !replacing) {
        const hindrance = await refreshFinality(lane)
        return { wait: Math.min(due, limits.checkMs), hindrance }
      }
      await assertExtendsSigned(lane, head, checkpoint)
      const { size, root, note } = checkpoint
      const use = registration.policy === 'consistent' ? 'sent' : 'checked'
      const data = encode.anchor(lane.logKey, size, root, await proofFrom(lane, head, checkpoint, use))
      const purpose = { type: 'anchor', size: size.toString(), root, note } as const
      await transact(lane, { to: contract, data, purpose }, replacing)
      return { wait: limits.pollMs }
    }
  }
}

/** The chain has another root than ours: the alarm, where the word of one endpoint isn't all that says so. */
async function contradiction(
  lane: LaneContext,
  contract: string,
  head: Head,
  checkpoint: AnchorCheckpoint,
): Promise<ChainError> {
  const what = `the chain has the root ${head.root} for ${head.size} leaves, the ledger has another`
  const opinion = await secondOpinion(lane, async (other) => {
    const theirs = await headOf(lane, other, contract)
    return verdictOn(theirs, checkpoint, lane.record.anchors) === 'equivocation'
  })
  refuseContradicted(lane, opinion, what)
  if (opinion.says === 'nothing') return unconfirmed(`${lane.chain.rpc.host} says that ${what}`)
  return alarm(lane, what)
}

/**
 * Whatever the chain shows (it may have lost a transaction, or not have it yet), nothing is signed that contradicts
 * or undercuts what this gateway has signed before.
 */
async function assertExtendsSigned(
  lane: LaneContext,
  head: Head,
  checkpoint: AnchorCheckpoint,
): Promise<void> {
  const { tree } = lane.journal
  if (!tree || tree.logKey !== lane.logKey) return
  const size = BigInt(tree.size)
  if (size > checkpoint.size) throw ledgerBehind(`a transaction for ${size} leaves was signed`, checkpoint)
  if (size === checkpoint.size) {
    if (tree.root === checkpoint.root) return
    throw await alarm(
      lane,
      `a transaction with the root ${tree.root} for ${size} leaves was signed, the ledger has another`,
    )
  }
  if (size > head.size) await proofFrom(lane, { size, root: tree.root }, checkpoint, 'signed-before')
}

const ledgerBehind = (what: string, checkpoint: AnchorCheckpoint) =>
  new ChainError(
    'LEDGER_BEHIND',
    `${what}, the ledger has only ${checkpoint.size}`,
    'Was the ledger restored from a backup? Start a new log (another `ledger.origin`) rather than reuse this one.',
  )

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
  head: Head,
  { size, root }: AnchorCheckpoint,
  use: 'sent' | 'checked' | 'signed-before',
): Promise<readonly string[]> {
  if (head.size === 0n) return []
  const proof = await lane.consistencyProof?.(head.size, size)
  if (!proof) {
    if (use !== 'sent') return []
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
      `the ledger of ${size} leaves doesn't extend the ${head.size} leaves that ${use === 'signed-before' ? 'were signed before' : 'are on the chain'}`,
      error,
    )
  }
  return use === 'sent' ? proof : []
}

/** Stops the lane for good: contradicting evidence isn't to be written over. */
async function alarm(lane: LaneContext, title: string, cause?: unknown): Promise<ChainError> {
  await lane.alarm.raise(title, new Date(lane.now()).toISOString())
  return new ChainError('EQUIVOCATION', title, EQUIVOCATION_REMEDY, cause)
}

export const EQUIVOCATION_REMEDY =
  'Keep the ledger and this chain as they are: one of the two was tampered with, or two gateways share a key and an ' +
  'origin. Anchoring there stays off, also after a restart.'
