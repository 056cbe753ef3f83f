/**
 * How far the evidence has come, as the recorder sees it: told of leaves, checkpoints and chains, it lets answers go
 * that waited, says whether new calls may begin, and how far the chains are behind.
 */

import { LeafAges } from '../../anchoring/leaf-ages.ts'
import { type ChainSizes, reachedSize, type Standing } from '../../anchoring/level.ts'
import { anchoredLevel } from '../../anchoring/settings.ts'
import { anchoringHealth, blockedBy, type Lag, letsGo, type Situation } from '../../anchoring/verdict.ts'
import type { Health } from '../../base/health.ts'
import type { ChainWriterState } from '../../chain-writer/chain-writer-state.ts'
import type { Admission } from '../protocol.ts'
import { HeldAnswers } from './held-answers.ts'
import type { AnchoringStart } from './settings.ts'

/** What status and metrics say. Sizes are decimal strings. */
export interface AnchoringState {
  readonly preset: AnchoringStart['preset']
  readonly acknowledge: AnchoringStart['acknowledge']
  readonly trial: boolean
  /** Leaves that are anchored. */
  readonly anchored: string
  readonly lagSeconds: number
  readonly lagLeaves: string
  /** Answers that wait for their evidence. */
  readonly holding: number
  readonly blocked?: string
}

export interface WatchOptions {
  readonly settings: AnchoringStart
  /** Leaves of the log at the start. */
  readonly size: bigint
  /** When a leaf of an earlier start was made, milliseconds since the epoch; undefined where it can't be told. */
  readonly timeOf: (leaf: bigint) => number | undefined
  readonly now: () => number
  /** For all proxies, also those that come later. */
  readonly admission: (admission: Admission) => void
}

/** A proxy's own clock ends its wait; what is kept here of it goes a little later. */
const GRACE_MS = 5000
const NO_CHAIN: ChainSizes = { submitted: 0n, included: 0n, safe: 0n, finalized: 0n }

export class AnchoringWatch {
  readonly answers = new HeldAnswers()
  readonly #options: WatchOptions
  readonly #ages: LeafAges
  readonly #started: number
  #local: bigint
  #checkpointed = 0n
  #witnessed: bigint | undefined
  #chains: readonly ChainSizes[] = []
  #failing: string | undefined
  /** Of an earlier start: looked up once. */
  #old: { readonly leaf: bigint; readonly time: number } | undefined
  #said: string | undefined

  constructor(options: WatchOptions) {
    this.#options = options
    this.#local = options.size
    if (options.settings.witnesses) this.#witnessed = 0n
    this.#ages = new LeafAges(options.size)
    this.#started = options.now()
    this.look()
  }

  /** @param size of the log that has them all */
  recorded(ids: readonly string[], size: bigint): void {
    this.#local = size
    this.#ages.grew(size, this.#options.now())
    this.answers.recorded(ids, size)
    this.look()
  }

  checkpoint(size: bigint): void {
    this.#checkpointed = size
    this.look()
  }

  /** Enough witnesses cosigned a tree of so many leaves. */
  witnessed(size: bigint): void {
    this.#witnessed = size
    this.look()
  }

  /** @param down the chain-writer itself doesn't run */
  chains(state: ChainWriterState | undefined, down: boolean): void {
    const { counted, quorum } = this.#options.settings
    const known = counted.map((name) => state?.chains.find((chain) => chain.name === name))
    this.#chains = known.map((chain) => (chain ? sizesOf(chain.sizes) : NO_CHAIN))
    const wanted = quorum === 'all' ? counted.length : quorum === 'any' ? 1 : quorum
    const failing = known.flatMap((chain) => (chain?.failing === undefined ? [] : [chain.failing]))
    if (down) this.#failing = 'the chain-writer doesn’t run'
    else if (counted.length - failing.length < wanted) this.#failing = `anchoring fails: ${failing[0]}`
    else this.#failing = undefined
    this.look()
  }

  /** With time alone things change, too. */
  look(): void {
    const { settings, admission } = this.#options
    const situation = this.#situation()
    const reached = reachedSize(this.#standing, settings.acknowledge, settings.quorum)
    this.answers.reached(letsGo(settings, situation) ? this.#local : reached)
    this.answers.expire(this.#options.now() - settings.maxHoldMs - GRACE_MS)
    const refused = blockedBy(settings, situation)
    if (refused === this.#said) return
    this.#said = refused
    admission(this.admission)
  }

  get admission(): Admission {
    return this.#said === undefined ? {} : { refused: this.#said }
  }

  state(): AnchoringState {
    const { preset, acknowledge, trial } = this.#options.settings
    const { lag } = this.#situation()
    return {
      preset,
      acknowledge,
      trial,
      anchored: String(this.#anchored),
      lagSeconds: Math.round(lag.ms / 1000),
      lagLeaves: String(lag.leaves),
      holding: this.answers.count,
      ...(this.#said === undefined ? {} : { blocked: this.#said }),
    }
  }

  health(): Health[] {
    return anchoringHealth(this.#options.settings, this.#situation())
  }

  get #standing(): Standing {
    return {
      local: this.#local,
      checkpointed: this.#checkpointed,
      witnessed: this.#witnessed,
      chains: this.#chains,
    }
  }

  get #anchored(): bigint {
    const { settings } = this.#options
    return reachedSize(this.#standing, anchoredLevel(settings), settings.quorum)
  }

  #situation(): Situation {
    const { settings } = this.#options
    const reached = reachedSize(this.#standing, settings.acknowledge, settings.quorum)
    return { lag: this.#lag(), waitedMs: this.#ageOf(reached), failing: this.#failing }
  }

  #lag(): Lag {
    const anchored = this.#anchored
    const leaves = this.#local - anchored
    if (leaves <= 0n) return { ms: 0, leaves: 0n }
    const ms = this.#ageOf(anchored)
    this.#ages.forget(anchored)
    return { ms, leaves }
  }

  /** Milliseconds since this leaf came; 0 where the log isn't that large. */
  #ageOf(leaf: bigint): number {
    if (leaf >= this.#local) return 0
    return Math.max(0, this.#options.now() - (this.#ages.since(leaf) ?? this.#timeOf(leaf)))
  }

  #timeOf(leaf: bigint): number {
    if (this.#old?.leaf !== leaf) this.#old = { leaf, time: this.#options.timeOf(leaf) ?? this.#started }
    return this.#old.time
  }
}

const sizesOf = (sizes: ChainWriterState['chains'][number]['sizes']): ChainSizes => ({
  submitted: BigInt(sizes.submitted),
  included: BigInt(sizes.included),
  safe: BigInt(sizes.safe),
  finalized: BigInt(sizes.finalized),
})
