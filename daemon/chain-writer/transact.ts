/** Nonce, gas, fees, signature, journal, send: in this order, so that nothing is sent that isn't on disk. */
import { ChainError, refusalOf } from './chain-error.ts'
import { giveBalance } from './development-aid.ts'
import {
  dynamicFees,
  FEE_BLOCKS,
  type Fees,
  highest,
  legacyFees,
  NORMAL_PERCENTILE,
  replacingFees,
} from './fees.ts'
import type { InFlight, Purpose } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import { revertName } from './registry.ts'
import { feesOf } from './signer.ts'

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
  const { chain, signer, journal, chainId } = lane
  const nonce = replacing?.nonce ?? (await chain.nonce(signer.address))
  const before = replacing?.transactions ?? []
  if (before.length > MAX_REPLACEMENTS) return send(lane, before[before.length - 1]!.raw)

  // What the chain asks plus a fifth: the contract's costs depend on slots that others' transactions don't touch.
  const estimate = await estimateGas(lane, call)
  const gasLimit = (estimate * 12n) / 10n
  const fresh = await currentFees(lane)
  const last = before.at(-1)
  const fees = last ? replacingFees(feesOf(last.raw), fresh, lane.caps) : fresh
  await fund(lane, gasLimit * highest(fees))

  const { to, data, purpose } = call
  const { raw, hash } = signer.sign({ chainId, nonce, data, gasLimit, fees, ...(to ? { to } : {}) })
  const signed = { hash, raw, purpose, signed: lane.now() }
  await journal.put({ chainId, nonce, transactions: [...before, signed] })
  await send(lane, raw)
}

/** Sends, or sends again: what the node holds already is fine. */
export async function send(lane: LaneContext, raw: string): Promise<void> {
  try {
    await lane.chain.send(raw)
  } catch (error) {
    // The words differ from node to node; the next look at receipts and nonce tells what is true of the rest.
    if (!/already known|already imported|known transaction/i.test(refusalOf(error)?.message ?? ''))
      throw error
  }
}

async function estimateGas(lane: LaneContext, { to, data }: Call): Promise<bigint> {
  try {
    return await lane.chain.estimateGas({ from: lane.signer.address, data, ...(to ? { to } : {}) })
  } catch (error) {
    const name = revertName(refusalOf(error)?.data)
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

async function currentFees({ chain, caps }: LaneContext): Promise<Fees> {
  const latest = await chain.block('latest')
  if (latest?.baseFeePerGas == null) return legacyFees(await chain.gasPrice(), caps)
  return dynamicFees(await chain.feeHistory(FEE_BLOCKS, NORMAL_PERCENTILE), caps)
}

/** Only a development chain gives money away; elsewhere the administrator does. */
async function fund(lane: LaneContext, cost: bigint): Promise<void> {
  const { address } = lane.signer
  const balance = await lane.chain.balance(address)
  if (balance >= cost) return
  if (lane.kind === 'development') {
    return giveBalance(lane.chain, address)
  }
  throw new ChainError(
    'UNFUNDED',
    `the gateway's account ${address} holds ${inEther(balance)}, the next transaction may cost ${inEther(cost)}`,
    `Send some of chain ${lane.chainId}'s currency to ${address}; the newest checkpoint is anchored then.`,
  )
}

/** Wei in the chain's main unit, rounded up to a millionth. */
const inEther = (wei: bigint) => (Number((wei + 10n ** 12n - 1n) / 10n ** 12n) / 1e6).toString()
