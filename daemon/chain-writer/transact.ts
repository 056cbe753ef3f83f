/** Nonce, gas, fees, signature, journal, send: in this order, so that nothing is sent that isn't on disk. */
import { chainOver } from './chain.ts'
import { ChainError, refusalOf } from './chain-error.ts'
import { giveBalance } from './development-aid.ts'
import { l1FeeOf, quote } from './fee-quote.ts'
import { affordable, inCoins, replacingFees } from './fees.ts'
import type { InFlight, Purpose } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import { type Meaning, meaningOf } from './node-words.ts'
import { revertName } from './registry.ts'
import { refuseContradicted, secondOpinion, unconfirmed } from './second-opinion.ts'
import { feesOf } from './signer.ts'
import { spentToday } from './spending.ts'

export interface Call {
  /** Absent: creates a contract. */
  readonly to?: string
  readonly data: string
  readonly purpose: Purpose
}

/** Beyond this many replacements the last one is only sent again. */
const MAX_REPLACEMENTS = 50

/**
 * Signs and sends; `replacing` is what is in flight already and gives up its nonce to this call.
 * @throws ChainError; what was signed is in the journal and will be followed.
 */
export async function transact(lane: LaneContext, call: Call, replacing?: InFlight): Promise<void> {
  const { signer, journal, chainId, caps } = lane
  if (call.purpose.type === 'deploy') assertDeployable(lane)
  const nonce = replacing?.nonce ?? (await nextNonce(lane))
  const before = replacing?.transactions ?? []
  if (before.length > MAX_REPLACEMENTS) return void (await spread(lane, before[before.length - 1]!.raw))

  // What the chain asks plus a fifth: the contract's costs depend on slots that others' transactions don't touch.
  const gasLimit = ((await estimateGas(lane, call)) * 12n) / 10n
  const fresh = await quote(lane)
  const last = before.at(-1)
  const offer = last ? replacingFees(feesOf(last.raw), fresh, caps) : fresh
  const { to, data, purpose } = call
  const unsigned = { chainId, nonce, data, gasLimit, ...(to ? { to } : {}) }
  const l1Fee = await l1FeeOf(lane, signer.sign({ ...unsigned, fees: offer.fees }).raw)
  const now = lane.now()
  const bill = {
    gasLimit,
    l1Fee,
    anchor: purpose.type === 'anchor',
    spent: spentToday(journal.spending, now),
    now,
  }
  const { fees, cost } = affordable(offer, bill, caps)
  await fund(lane, cost)

  const { raw, hash } = signer.sign({ ...unsigned, fees })
  const signed = { hash, raw, purpose, signed: now, cost: cost.toString(), l1Fee: l1Fee.toString() }
  const tree =
    purpose.type === 'anchor' ? { logKey: lane.logKey, size: purpose.size, root: purpose.root } : journal.tree
  await journal.put({
    inFlight: { chainId, nonce, transactions: [...before, signed] },
    ...(tree ? { tree } : {}),
  })
  await (replacing ? spread(lane, raw) : send(lane, raw))
}

/** A reorganisation may take one away; a chain that makes something else of our code would be paid for for ever. */
const MOST_DEPLOYMENTS = 2

/** @throws ChainError WRONG_CONTRACT */
function assertDeployable({ journal, chainId }: LaneContext): void {
  if ((journal.deployments ?? 0) < MOST_DEPLOYMENTS) return
  throw new ChainError(
    'WRONG_CONTRACT',
    `${MOST_DEPLOYMENTS} deployments were mined on chain ${chainId}, and no AnchorRegistry of this version is there`,
    "The chain makes other code of it than an EVM does: this version can't anchor there. Take the chain out of the configuration.",
  )
}

/** What sending came to; what became of the transaction, receipts and nonce tell. */
export type Sent = 'sent' | 'too-cheap'

/** Sends, or sends again: what the node holds already, or has mined, is fine. */
export const send = (lane: LaneContext, raw: string): Promise<Sent> => sendTo(lane, lane.chain.send(raw))

/** To every endpoint: for what one of them lost, or holds back. What the first one says counts. */
export async function spread(lane: LaneContext, raw: string): Promise<Sent> {
  const [sent] = await Promise.all([
    send(lane, raw),
    ...lane.endpoints.others().map((rpc) => sendTo(lane, chainOver(rpc).send(raw)).catch(() => undefined)),
  ])
  return sent
}

async function sendTo(lane: LaneContext, sending: Promise<void>): Promise<Sent> {
  try {
    await sending
    return 'sent'
  } catch (error) {
    const refusal = refusalOf(error)
    const meaning: Meaning | undefined = refusal && meaningOf(refusal)
    if (meaning === 'known' || meaning === 'nonce-too-low') return 'sent'
    if (meaning === 'too-cheap') return 'too-cheap'
    if (meaning === 'unfunded') throw unfunded(lane, refusal!.message)
    throw error
  }
}

/**
 * The chain's word for our nonce, unless it isn't what the journal expects: an endpoint that lags or lies would have
 * us sign what nobody can mine, or what is mined much later. It is believed when another says the same, or where
 * none does and it goes on saying so.
 */
async function nextNonce(lane: LaneContext): Promise<number> {
  const { chain, signer, journal, doubts } = lane
  const nonce = await chain.nonce(signer.address)
  if (journal.nextNonce === undefined || journal.nextNonce === nonce) {
    doubts.nonce.over()
    return nonce
  }
  const what = `${signer.address} has sent ${nonce} transactions and not ${journal.nextNonce}`
  const opinion = await secondOpinion(lane, async (other) => (await other.nonce(signer.address)) === nonce)
  refuseContradicted(lane, opinion, what)
  if (opinion.says !== 'the-same' && !doubts.nonce.lasts()) {
    throw unconfirmed(`${chain.rpc.host} says that ${what}`)
  }
  doubts.nonce.over()
  return nonce
}

async function estimateGas(lane: LaneContext, { to, data }: Call): Promise<bigint> {
  try {
    return await lane.chain.estimateGas({ from: lane.signer.address, data, ...(to ? { to } : {}) })
  } catch (error) {
    const refusal = refusalOf(error)
    if (refusal && meaningOf(refusal) === 'unfunded' && lane.kind !== 'development') {
      throw unfunded(lane, refusal.message)
    }
    const name = revertName(refusal?.data)
    if (!name) throw error
    throw new ChainError(
      name === 'NotAuthorized' ? 'NOT_AUTHORIZED' : 'REVERTED',
      `the contract would refuse the transaction: ${name}`,
      name === 'NotAuthorized'
        ? `Let the log's owner authorise ${lane.signer.address} as its gateway.`
        : 'The gateway looks at the chain again; if it goes on, another gateway may be using the same key and origin.',
      error instanceof Error ? error.cause : error,
    )
  }
}

/** Only a development chain gives money away; elsewhere the administrator does. */
async function fund(lane: LaneContext, cost: bigint): Promise<void> {
  const { address } = lane.signer
  const balance = await lane.chain.balance(address)
  if (balance >= cost) return
  if (lane.kind === 'development') return giveBalance(lane.chain, address)
  throw unfunded(lane, `it holds ${inCoins(balance)}, the next transaction may cost ${inCoins(cost)}`)
}

function unfunded(lane: LaneContext, why: string): ChainError {
  const { address } = lane.signer
  return new ChainError(
    'UNFUNDED',
    `the gateway's account ${address} can't pay: ${why}`,
    `Send some of chain ${lane.chainId}'s currency to ${address}; the newest checkpoint is anchored then.`,
  )
}
