/** What the chain-writer is given and what it says of itself: the messages of its thread, as schemas. */
import { z } from 'zod'
import { Health } from '../base/health.ts'
import { ChainName, Decimal, FINALITIES, Root } from './anchors.ts'
import { FEE_MODELS } from './networks.ts'
import { POLICIES } from './registry.ts'
import { Wei } from './spending.ts'
import { Address, Hash } from './values.ts'

const Url = z.url({ protocol: /^https?$/ })

/** Decimal amounts: of the chain's main unit, of 18 digits, or of gwei. */
const Amount = z.string().regex(/^[0-9]{1,18}(\.[0-9]{1,18})?$/)

const FeeSettings = z.object({
  /** Of the tips that others pay. */
  percentile: z.int().min(1).max(99).optional(),
  maxGwei: Amount.optional(),
  maxTipGwei: Amount.optional(),
  maxPerAnchor: Amount.optional(),
  maxPerDay: Amount.optional(),
  model: z.enum(FEE_MODELS).optional(),
})
export type FeeSettings = z.infer<typeof FeeSettings>

const Common = {
  name: ChainName,
  /** Account that the log belongs to on this chain. Absent: the gateway's own. */
  owner: Address.optional(),
  /** What the contract is to demand of the log; absent: registry.ts's default. */
  policy: z.enum(POLICIES).optional(),
}

export const ChainWriterData = z.object({
  chains: z.array(
    z.discriminatedUnion('kind', [
      z.object({ ...Common, kind: z.literal('development'), port: z.int().min(1).max(65_535) }),
      z.object({
        ...Common,
        kind: z.literal('rpc'),
        chainId: z.int().positive(),
        rpc: z.array(Url).min(1).max(16).readonly(),
        contract: Address.optional(),
        confirmations: z.int().nonnegative().optional(),
        currency: z.string().optional(),
        explorer: Url.optional(),
        fees: FeeSettings.optional(),
      }),
    ]),
  ),
  /** secp256k1 scalar of the gateway's account. */
  key: z.instanceof(Uint8Array).refine((key) => key.length === 32),
  /** Of the gateway's first account, where the key was rotated since: the log stays that one's, and it authorises. */
  ownerKey: z
    .instanceof(Uint8Array)
    .refine((key) => key.length === 32)
    .optional(),
  /** A directory of the chain-writer's own. */
  stateDir: z.string().min(1),
  /** Of the log: the checkpoint's first line. */
  origin: z.string().min(1),
  /** Of the log: C2SP verifier key. */
  verifierKey: z.string().min(1).max(1000),
  /** Where what owners signed is put down; nothing is, where absent. */
  authorizations: z.string().min(1).optional(),
  /** The log's directory, read for proofs that a checkpoint extends what a chain holds; none are made where absent. */
  ledger: z.string().min(1).optional(),
  anchoring: z.object({
    maxDelayMs: z.number().positive(),
    maxLeaves: z.number().positive(),
  }),
})
export type ChainWriterData = z.input<typeof ChainWriterData>
export type ChainSpec = z.infer<typeof ChainWriterData>['chains'][number]

/** From the recorder. Sizes are decimal strings. */
export const ChainWriterInput = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('checkpoint'),
    size: Decimal,
    root: Root,
    note: z.string().max(10_000),
    /** Proves that this checkpoint extends the tree of `from` leaves: best the one on the chain. */
    consistency: z.object({ from: Decimal, proof: z.array(Root).max(63) }).optional(),
  }),
  z.object({ type: z.literal('stop') }),
])
export type ChainWriterInput = z.infer<typeof ChainWriterInput>

const ChainState = z.object({
  name: ChainName,
  kind: z.enum(['development', 'rpc']),
  chainId: z.number(),
  /** To be shown wherever the chain is: what its anchors are worth. */
  label: z.string().optional(),
  /** Of its network; absent where that isn't known. */
  currency: z.string().optional(),
  explorer: z.string().optional(),
  /** Absent until the first one is there. */
  contract: Address.optional(),
  logKey: Hash,
  gatewayAddress: Address,
  /** Account that the log belongs to. */
  owner: Address,
  /** What the contract has: absent until the gateway may anchor. `until` is RFC 3339, absent where it doesn't end. */
  authorization: z.object({ policy: z.enum(POLICIES), until: z.string().optional() }).optional(),
  /** Of the log on the chain, as last seen; absent until the chain has answered. */
  head: z.object({ size: Decimal, root: Root }).optional(),
  /** The newest anchor that is on the chain. */
  anchored: z
    .object({
      size: Decimal,
      root: Root,
      transaction: Hash,
      block: z.number(),
      blockHash: Hash,
      time: z.string(),
      finality: z.enum(FINALITIES),
      /** Host of the second endpoint that calls it final. */
      confirmedBy: z.string().optional(),
    })
    .optional(),
  /** Since when the newest checkpoint's leaves wait for an anchor; absent where none does. */
  waitingSince: z.string().optional(),
  /** The gateway's account there; wei. Absent on a development chain, where money is worth nothing. */
  funds: z
    .object({
      /** Absent until the chain has said. */
      balance: Wei.optional(),
      spentToday: Wei,
      /** Of a day; absent where none is set. */
      budget: Wei.optional(),
      /** What the newest anchor cost. */
      lastAnchor: Wei.optional(),
    })
    .optional(),
  /** The transaction in flight. */
  pending: z
    .object({
      purpose: z.enum(['deploy', 'register', 'authorize', 'anchor']),
      size: Decimal.optional(),
      transaction: Hash,
      since: z.string(),
    })
    .optional(),
  /** Leaves of the newest tree that is at each level, or beyond it. */
  sizes: z.object({ submitted: Decimal, included: Decimal, safe: Decimal, finalized: Decimal }),
  /** Why the chain takes no anchor now. */
  failing: z.string().optional(),
  health: z.array(Health),
})
export type ChainState = z.infer<typeof ChainState>

/** To the recorder, whenever something changed. `health` is that of all chains. */
export const ChainWriterState = z.object({
  type: z.literal('state'),
  chains: z.array(ChainState),
  health: z.array(Health),
})
export type ChainWriterState = z.infer<typeof ChainWriterState>
