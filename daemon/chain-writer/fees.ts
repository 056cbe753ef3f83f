/** What a transaction offers to pay: pure. Amounts in wei, those of `Fees` per gas. */
import { ChainError } from './chain-error.ts'
import { nextDay } from './spending.ts'
import type { FeeHistory } from './values.ts'

/** EIP-1559 where the chain has a base fee, else one gas price. */
export type Fees =
  | { readonly type: 2; readonly maxFeePerGas: bigint; readonly maxPriorityFeePerGas: bigint }
  | { readonly type: 0; readonly gasPrice: bigint }

export interface FeeCaps {
  readonly maxFeePerGas: bigint
  readonly maxPriorityFeePerGas: bigint
  /** Of one anchor, everything included. Not of the contract's deployment, which costs twenty times as much, once. */
  readonly maxPerAnchor?: bigint
  /** Of everything that this gateway sends on the chain in one day (UTC). */
  readonly maxPerDay?: bigint
}

/** What to offer, and the least that the next block takes. */
export interface Quote {
  readonly fees: Fees
  readonly least: bigint
}

export const GWEI = 10n ** 9n
/** 500 gwei: Ethereum was above it for hours only, and an anchor would cost 0.018 ETH there. */
export const DEFAULT_CAPS: FeeCaps = { maxFeePerGas: 500n * GWEI, maxPriorityFeePerGas: 50n * GWEI }

/** Of the tips that others paid, the percentile that each strategy takes. */
export const STRATEGIES = { slow: 10, normal: 50, fast: 90 } as const
/** Blocks of `eth_feeHistory`. */
export const FEE_BLOCKS = 20

/** Tip: the median over the blocks of what the percentile paid. Base fee: room for it to double (6 full blocks). */
export function dynamicFees(history: FeeHistory, caps: FeeCaps): Quote {
  const next = history.baseFeePerGas[history.baseFeePerGas.length - 1]!
  const asked = median((history.reward ?? []).map((block) => block[0]!))
  const tip = atLeast(1n, atMost(caps.maxPriorityFeePerGas, asked))
  const least = next + tip
  // The next block's fee itself is above the cap: waiting is cheaper than a transaction that can't be mined.
  if (least > caps.maxFeePerGas) throw gasTooDear(least, caps)
  const maxFeePerGas = atMost(caps.maxFeePerGas, 2n * next + tip)
  return { fees: { type: 2, maxFeePerGas, maxPriorityFeePerGas: tip }, least }
}

export function legacyFees(gasPrice: bigint, caps: FeeCaps): Quote {
  if (gasPrice > caps.maxFeePerGas) throw gasTooDear(gasPrice, caps)
  return { fees: { type: 0, gasPrice }, least: gasPrice }
}

/**
 * Fees for a transaction that takes the place of another with its nonce: nodes want at least a tenth more on
 * **both** fields; 12.5 % is what all of them take.
 */
export function replacingFees(before: Fees, fresh: Quote, caps: FeeCaps): Quote {
  if (before.type === 2 && fresh.fees.type === 2) {
    const least = raise(before.maxFeePerGas)
    const fees = {
      type: 2,
      maxFeePerGas: atLeast(least, fresh.fees.maxFeePerGas),
      maxPriorityFeePerGas: atLeast(raise(before.maxPriorityFeePerGas), fresh.fees.maxPriorityFeePerGas),
    } as const
    // The fresh tip may have grown past a fee cap that was low: a tip above the whole fee is refused everywhere.
    const maxFeePerGas = atLeast(fees.maxFeePerGas, fees.maxPriorityFeePerGas)
    if (maxFeePerGas > caps.maxFeePerGas) throw gasTooDear(maxFeePerGas, caps)
    return {
      fees: { ...fees, maxFeePerGas },
      least: atLeast(atLeast(least, fees.maxPriorityFeePerGas), fresh.least),
    }
  }
  const gasPrice = atLeast(raise(highest(before)), highest(fresh.fees))
  if (gasPrice > caps.maxFeePerGas) throw gasTooDear(gasPrice, caps)
  return { fees: { type: 0, gasPrice }, least: gasPrice }
}

/** The most that one gas may cost. */
export const highest = (fees: Fees) => (fees.type === 2 ? fees.maxFeePerGas : fees.gasPrice)

export interface Bill {
  readonly gasLimit: bigint
  /** For the data on the parent chain, where that is charged apart from gas. */
  readonly l1Fee: bigint
  readonly anchor: boolean
  /** Today, so far. */
  readonly spent: bigint
  /** Milliseconds since the epoch. */
  readonly now: number
}

/**
 * The offer, cut so that at its worst it stays within the caps and the day's budget. A cut offer still gets into the
 * next block; where even that would cost too much, the checkpoint waits.
 * @throws ChainError FEES_TOO_HIGH, OVER_BUDGET
 */
export function affordable({ fees, least }: Quote, bill: Bill, caps: FeeCaps): { fees: Fees; cost: bigint } {
  const { gasLimit, l1Fee, spent } = bill
  const needed = gasLimit * least + l1Fee
  const perAnchor = bill.anchor ? caps.maxPerAnchor : undefined
  if (perAnchor !== undefined && needed > perAnchor) throw anchorTooDear(needed, perAnchor)
  if (caps.maxPerDay !== undefined && spent + needed > caps.maxPerDay) {
    throw overBudget(needed, spent, caps.maxPerDay, bill.now)
  }
  const limits = [
    ...(perAnchor === undefined ? [] : [perAnchor]),
    ...(caps.maxPerDay === undefined ? [] : [caps.maxPerDay - spent]),
  ]
  const most = limits.reduce((most, limit) => atMost(most, (limit - l1Fee) / gasLimit), highest(fees))
  const cut = fees.type === 2 ? { ...fees, maxFeePerGas: most } : { ...fees, gasPrice: most }
  return { fees: cut, cost: gasLimit * most + l1Fee }
}

/** Wei in the chain's main unit, rounded up to a millionth; smaller amounts with two digits. */
export function inCoins(wei: bigint): string {
  if (wei === 0n) return '0'
  if (wei < 10n ** 14n) return `${Number((Number(wei) / 1e18).toPrecision(2))}`
  return `${Number((wei + 10n ** 12n - 1n) / 10n ** 12n) / 1e6}`
}

const raise = (fee: bigint) => (fee * 1125n + 999n) / 1000n
export const atLeast = (a: bigint, b: bigint) => (a > b ? a : b)
export const atMost = (a: bigint, b: bigint) => (a < b ? a : b)

function median(values: bigint[]): bigint {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  return sorted[sorted.length >> 1] ?? 0n
}

function gasTooDear(fee: bigint, caps: FeeCaps): ChainError {
  return new ChainError(
    'FEES_TOO_HIGH',
    `gas costs ${fee / GWEI} gwei, the cap is ${caps.maxFeePerGas / GWEI} gwei`,
    'Wait: the newest checkpoint is anchored once gas is cheaper. Nothing is lost meanwhile. Or raise `fees.maxGwei`.',
  )
}

function anchorTooDear(cost: bigint, cap: bigint): ChainError {
  return new ChainError(
    'FEES_TOO_HIGH',
    `an anchor would cost ${inCoins(cost)}, the cap is ${inCoins(cap)}`,
    'Wait: the newest checkpoint is anchored once it is cheaper. Nothing is lost meanwhile. Or raise `fees.maxPerAnchor`.',
  )
}

function overBudget(cost: bigint, spent: bigint, budget: bigint, now: number): ChainError {
  const hopeless = cost > budget
  return new ChainError(
    'OVER_BUDGET',
    hopeless
      ? `the next transaction may cost ${inCoins(cost)}, more than the ${inCoins(budget)} of a whole day`
      : `${inCoins(spent)} of the day's ${inCoins(budget)} are spent, the next transaction may cost ${inCoins(cost)}: the newest checkpoint waits until ${nextDay(now).toISOString()}`,
    hopeless
      ? 'Raise `fees.maxPerDay` of this chain, or wait for cheaper gas. Nothing is lost meanwhile.'
      : 'Nothing is lost: it is anchored when the next day (UTC) begins, or gas is cheaper. Or raise `fees.maxPerDay`.',
  )
}
