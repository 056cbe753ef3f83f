/**
 * The networks that the gateway knows by name (networks.json): what of a chain doesn't depend on who runs it. No RPC
 * endpoint is among it: whoever is asked learns who asks and when, and is believed in what it answers, so that choice
 * is the administrator's alone, and nothing is sent to third parties by default.
 */
import { z } from 'zod'
import known from './networks.json' with { type: 'json' }

/** How a chain charges; what that means for a transaction is in {@link feeModelOf}. */
export const FEE_MODELS = ['eip1559', 'legacy', 'op-stack', 'scroll', 'arbitrum', 'zksync'] as const

const Network = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  title: z.string().min(1),
  /** EIP-155. */
  chainId: z.int().positive(),
  /** Its unit is 10^18 of the smallest, on all of them. */
  currency: z.string().min(1),
  /** Links by EIP-3091 begin with it. */
  explorer: z.url({ protocol: /^https$/ }).optional(),
  /** `tags`: the node says what is safe and finalized. Else so many blocks on top. */
  finality: z.union([z.literal('tags'), z.int().positive()]),
  fees: z.enum(FEE_MODELS),
  /** Who runs it, and so what an anchor there is worth. */
  kind: z.enum(['public', 'test', 'development']),
})
export type Network = z.infer<typeof Network>

export const NETWORKS: readonly Network[] = z.array(Network).parse(known)

export const networkNamed = (name: string): Network | undefined =>
  NETWORKS.find((network) => network.name === name)

export const networkOf = (chainId: number): Network | undefined =>
  NETWORKS.find((network) => network.chainId === chainId)

export type FeeModel =
  /** By base fee and tip where it has a base fee. Arbitrum and ZKsync have the parent chain's part in their gas. */
  | { readonly type: 'eip1559' }
  /** One gas price. */
  | { readonly type: 'legacy' }
  /** As eip1559, and for the data on the parent chain what the contract there says. */
  | { readonly type: 'l1-oracle'; readonly oracle: string }

/** Predeployed on every chain of its kind (specs.optimism.io "Predeploys"; docs.scroll.io "Scroll Contracts"). */
const OP_GAS_PRICE_ORACLE = '0x420000000000000000000000000000000000000f'
const SCROLL_L1_GAS_ORACLE = '0x5300000000000000000000000000000000000002'

export function feeModelOf(fees: Network['fees']): FeeModel {
  if (fees === 'op-stack') return { type: 'l1-oracle', oracle: OP_GAS_PRICE_ORACLE }
  if (fees === 'scroll') return { type: 'l1-oracle', oracle: SCROLL_L1_GAS_ORACLE }
  return { type: fees === 'legacy' ? 'legacy' : 'eip1559' }
}

/** EIP-3091. */
export const explorerLink = (explorer: string, what: 'tx' | 'block' | 'address', id: string | number) =>
  `${explorer.replace(/\/+$/, '')}/${what}/${id}`
