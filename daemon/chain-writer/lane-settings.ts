/** What a lane is started with, from the configuration of its chain and what is known of its network: pure. */
import type { ChainSpec, FeeSettings } from './chain-writer-state.ts'
import { DEVELOPMENT_CHAIN_ID, DEVELOPMENT_LABEL, developmentRpc } from './development-chain.ts'
import { DEFAULT_CAPS, type FeeCaps, STRATEGIES } from './fees.ts'
import { type FeeModel, feeModelOf, networkOf } from './networks.ts'

export interface LaneSettings {
  readonly chainId: number
  readonly urls: readonly string[]
  readonly contract: string | undefined
  readonly confirmations: number
  readonly caps: FeeCaps
  readonly feeModel: FeeModel
  readonly percentile: number
  /** What an anchor there is worth, where that needs saying. */
  readonly label: string | undefined
  readonly currency: string | undefined
  readonly explorer: string | undefined
}

/** Of an unknown chain without tags for finality: what exchanges waited for on Ethereum before there were any. */
const DEFAULT_CONFIRMATIONS = 12
export const TEST_NETWORK_LABEL = 'test network: it may be wiped any day'

export function laneSettings(spec: ChainSpec): LaneSettings {
  const development = spec.kind === 'development'
  const chainId = development ? DEVELOPMENT_CHAIN_ID : spec.chainId
  const network = networkOf(chainId)
  const fees = development ? undefined : spec.fees
  const byNetwork = network?.finality === 'tags' ? Number.POSITIVE_INFINITY : network?.finality
  return {
    chainId,
    urls: development ? [developmentRpc(spec.port)] : spec.rpc,
    contract: development ? undefined : spec.contract,
    confirmations: (development ? undefined : spec.confirmations) ?? byNetwork ?? DEFAULT_CONFIRMATIONS,
    caps: capsOf(fees),
    feeModel: feeModelOf(fees?.model ?? network?.fees ?? 'eip1559'),
    percentile: fees?.percentile ?? STRATEGIES.normal,
    label: development ? DEVELOPMENT_LABEL : network?.kind === 'test' ? TEST_NETWORK_LABEL : undefined,
    currency: (development ? undefined : spec.currency) ?? network?.currency,
    explorer: (development ? undefined : spec.explorer) ?? network?.explorer,
  }
}

function capsOf(fees: FeeSettings | undefined): FeeCaps {
  const { maxGwei, maxTipGwei, maxPerAnchor, maxPerDay } = fees ?? {}
  const maxFeePerGas = maxGwei === undefined ? DEFAULT_CAPS.maxFeePerGas : units(maxGwei, 9)
  return {
    maxFeePerGas,
    maxPriorityFeePerGas: maxTipGwei === undefined ? DEFAULT_CAPS.maxPriorityFeePerGas : units(maxTipGwei, 9),
    ...(maxPerAnchor === undefined ? {} : { maxPerAnchor: units(maxPerAnchor, 18) }),
    ...(maxPerDay === undefined ? {} : { maxPerDay: units(maxPerDay, 18) }),
  }
}

/** A decimal amount in the smallest unit; what is finer is cut off, so that no cap is higher than written. */
export function units(amount: string, digits: number): bigint {
  const [whole = '0', fraction = ''] = amount.split('.')
  return BigInt(whole + fraction.slice(0, digits).padEnd(digits, '0'))
}
