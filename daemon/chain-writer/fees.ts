/** What a transaction offers to pay: pure. Amounts in wei per gas. */
import { ChainError } from './chain-error.ts'
import type { FeeHistory } from './values.ts'

/** EIP-1559 where the chain has a base fee, else one gas price. */
export type Fees =
  | { readonly type: 2; readonly maxFeePerGas: bigint; readonly maxPriorityFeePerGas: bigint }
  | { readonly type: 0; readonly gasPrice: bigint }

export interface FeeCaps {
  readonly maxFeePerGas: bigint
  readonly maxPriorityFeePerGas: bigint
}

const GWEI = 10n ** 9n
/** 500 gwei: Ethereum was above it for hours only, and an anchor would cost 0.018 ETH there. */
export const DEFAULT_CAPS: FeeCaps = { maxFeePerGas: 500n * GWEI, maxPriorityFeePerGas: 50n * GWEI }

/** Blocks of `eth_feeHistory`, and the percentile of tips that is "normal" (10 is slow, 90 fast). */
export const FEE_BLOCKS = 20
export const NORMAL_PERCENTILE = 50

/** Tip: the median over the blocks of what the percentile paid. Base fee: room for it to double (6 full blocks). */
export function dynamicFees(history: FeeHistory, caps: FeeCaps): Fees {
  const next = history.baseFeePerGas[history.baseFeePerGas.length - 1]!
  const tip = atLeast(
    1n,
    atMost(caps.maxPriorityFeePerGas, median((history.reward ?? []).map((block) => block[0]!))),
  )
  // The next block's fee itself is above the cap: waiting is cheaper than a transaction that can't be mined.
  if (next + tip > caps.maxFeePerGas) throw tooHigh(next + tip, caps)
  return { type: 2, maxFeePerGas: atMost(caps.maxFeePerGas, 2n * next + tip), maxPriorityFeePerGas: tip }
}

export function legacyFees(gasPrice: bigint, caps: FeeCaps): Fees {
  if (gasPrice > caps.maxFeePerGas) throw tooHigh(gasPrice, caps)
  return { type: 0, gasPrice }
}

/**
 * Fees for a transaction that takes the place of another with its nonce: nodes want at least a tenth more on
 * **both** fields; 12.5 % is what all of them take.
 */
export function replacingFees(before: Fees, fresh: Fees, caps: FeeCaps): Fees {
  const raised =
    before.type === 2 && fresh.type === 2
      ? {
          type: 2 as const,
          maxFeePerGas: atLeast(raise(before.maxFeePerGas), fresh.maxFeePerGas),
          maxPriorityFeePerGas: atLeast(raise(before.maxPriorityFeePerGas), fresh.maxPriorityFeePerGas),
        }
      : { type: 0 as const, gasPrice: atLeast(raise(highest(before)), highest(fresh)) }
  if (highest(raised) > caps.maxFeePerGas) throw tooHigh(highest(raised), caps)
  return raised
}

/** The most that one gas may cost. */
export const highest = (fees: Fees) => (fees.type === 2 ? fees.maxFeePerGas : fees.gasPrice)

const raise = (fee: bigint) => (fee * 1125n + 999n) / 1000n
const atLeast = (a: bigint, b: bigint) => (a > b ? a : b)
const atMost = (a: bigint, b: bigint) => (a < b ? a : b)

function median(values: bigint[]): bigint {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  return sorted[sorted.length >> 1] ?? 0n
}

function tooHigh(fee: bigint, caps: FeeCaps): ChainError {
  return new ChainError(
    'FEES_TOO_HIGH',
    `gas costs ${fee / GWEI} gwei, the cap is ${caps.maxFeePerGas / GWEI} gwei`,
    'Wait: the newest checkpoint is anchored once gas is cheaper. Nothing is lost meanwhile.',
  )
}
