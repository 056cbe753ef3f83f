/** What one lane works with: one chain, one key, one log. */

import type { AlarmFile } from './alarms.ts'
import type { Anchor } from './anchors.ts'
import type { Chain } from './chain.ts'
import type { AnchorCheckpoint, Anchoring } from './checkpoint.ts'
import type { Doubt } from './doubt.ts'
import type { Endpoints } from './endpoints.ts'
import type { FeeCaps } from './fees.ts'
import type { Journal } from './journal.ts'
import type { FeeModel } from './networks.ts'
import type { Head, LogPolicy, Registration } from './registry.ts'
import type { Signer } from './signer.ts'

export interface LaneLimits {
  /** How often a transaction under way is looked for. */
  readonly pollMs: number
  /** How often the chain is looked at when nothing is under way. */
  readonly checkMs: number
  /** How long a chain must say of itself that it went back, or used our nonce, before that is believed. */
  readonly patienceMs: number
  /** How long a transaction may wait to be mined before its fees are raised. */
  readonly replaceMs: number
  /** The longest pause after failures. */
  readonly maxBackOffMs: number
  /** Blocks after which a development chain starts over: see development-aid.ts. */
  readonly maxBlocks: number
}

/** A development chain mines at once and costs nothing to ask; others do neither. */
export const LIMITS: Readonly<Record<'development' | 'rpc', LaneLimits>> = {
  development: {
    pollMs: 50,
    checkMs: 5_000,
    patienceMs: 1_000,
    replaceMs: 15_000,
    maxBackOffMs: 2_000,
    maxBlocks: 8_192,
  },
  rpc: {
    pollMs: 4_000,
    checkMs: 60_000,
    patienceMs: 60_000,
    replaceMs: 120_000,
    maxBackOffMs: 60_000,
    maxBlocks: Number.POSITIVE_INFINITY,
  },
}

/** What a lane knows and keeps; `save` makes it durable. */
export interface LaneRecord {
  contract: string | undefined
  anchors: readonly Anchor[]
  save(): Promise<void>
  /** From now on in this contract; what was anchored in another one is kept under that one's address. */
  moveTo(contract: string): Promise<void>
}

/** Hashes of the consistency proof between two sizes of the log; undefined where none can be had (now). */
export type ConsistencyProof = (from: bigint, to: bigint) => Promise<readonly string[] | undefined>

export interface LaneContext {
  readonly name: string
  readonly kind: 'development' | 'rpc'
  readonly chainId: number
  /** The configured contract, lower case. */
  readonly contract: string | undefined
  /** Blocks after which an anchor counts as final where the chain has no tags for it. */
  readonly confirmations: number
  /** Over {@link endpoints}. */
  readonly chain: Chain
  readonly endpoints: Endpoints
  readonly signer: Signer
  readonly journal: Journal
  readonly record: LaneRecord
  readonly alarm: AlarmFile
  readonly origin: string
  /** SHA-256 of the log's verifier key, 0x-hex. */
  readonly vkeyHash: string
  /** Account that the log belongs to on the chain, lower case: the gateway's own, or whoever authorises it. */
  readonly owner: string
  /** The owner's key, where this gateway has it: its own first account, before its key was rotated. */
  readonly ownerSigner?: Signer | undefined
  /** Where what other owners signed is put down. */
  readonly authorizations: string | undefined
  readonly logKey: string
  /** Wanted for the log; fixed when it is registered. */
  readonly policy: LogPolicy
  readonly anchoring: Anchoring
  readonly caps: FeeCaps
  readonly feeModel: FeeModel
  /** Of the tips that others pay: 1 to 99. */
  readonly percentile: number
  readonly limits: LaneLimits
  readonly consistencyProof: ConsistencyProof | undefined
  /** Newest checkpoint and when the first one that the chain lacks came. */
  readonly newest: () => { readonly checkpoint: AnchorCheckpoint; readonly since: number } | undefined
  /** Told of what the contract holds of our log, whatever the round comes to then. */
  readonly saw: (seen: { readonly head: Head; readonly registration: Registration }) => void
  readonly doubts: Doubts
  readonly now: () => number
}

/** What a chain says and isn't believed at once, by what it is about. */
export interface Doubts {
  /** Our nonce isn't the one that the journal expects. */
  readonly nonce: Doubt
  /** The transaction in flight has no receipt, and its nonce isn't the next one. */
  readonly inFlight: Doubt
  /** Anchors that it had are gone. */
  readonly loss: Doubt
}
