/** What the chain asks for a transaction now. */
import { ChainError } from './chain-error.ts'
import { dynamicFees, FEE_BLOCKS, legacyFees, type Quote } from './fees.ts'
import type { LaneContext } from './lane-context.ts'

/** By the chain's own base fee; one gas price where it has none, or where the configuration says `legacy`. */
export async function quote({ chain, caps, feeModel, percentile }: LaneContext): Promise<Quote> {
  const dynamic = feeModel.type !== 'legacy' && (await chain.block('latest'))?.baseFeePerGas != null
  if (!dynamic) return legacyFees(await chain.gasPrice(), caps)
  return dynamicFees(await chain.feeHistory(FEE_BLOCKS, percentile), caps)
}

/** getL1Fee(bytes), of OP Stack's GasPriceOracle and of Scroll's. */
const GET_L1_FEE = '0x49948e0e'

/**
 * What the rollup takes for publishing these bytes on its parent chain, apart from gas: asked of its oracle, and a
 * quarter more, since the parent's gas may be dearer by the time it is taken. 0 where the model has no such fee
 * (Arbitrum and ZKsync have it in their gas).
 */
export async function l1FeeOf({ chain, feeModel }: LaneContext, raw: string): Promise<bigint> {
  if (feeModel.type !== 'l1-oracle') return 0n
  const bytes = raw.slice(2)
  const word = (n: number) => n.toString(16).padStart(64, '0')
  const padded = bytes.padEnd(Math.ceil(bytes.length / 64) * 64, '0')
  const answer = await chain.call(feeModel.oracle, GET_L1_FEE + word(32) + word(bytes.length / 2) + padded)
  if (answer.length !== 66) {
    throw new ChainError(
      'RPC_GARBAGE',
      `there is no oracle for the parent chain's fee at ${feeModel.oracle}`,
      'Correct `fees.model` of this chain in the configuration.',
    )
  }
  return (BigInt(answer) * 5n) / 4n
}
