/** The three knobs and the presets that set them all (reference: consistency modes): what is in force. Pure. */
import { type Level, needsHolding, type Quorum } from './level.ts'

export const PRESETS = ['strict', 'bounded', 'eventual'] as const
export type Preset = (typeof PRESETS)[number]

/** What happens to new calls when anchoring doesn't keep up; with `queue` nothing does. */
export type OnFailure = 'queue' | 'block' | { readonly blockAfterMs: number }

/** As configured: what is absent is the preset's. */
export interface AnchoringConfig {
  readonly preset: Preset
  readonly acknowledge?: Level
  readonly maxDelayMs?: number
  readonly maxLeaves?: number
  readonly onFailure?: OnFailure
  readonly quorum?: Quorum
  readonly maxHoldMs?: number
  readonly maxLagMs?: number
}

export interface Anchoring {
  readonly preset: Preset
  /** What a record must have reached before its agent gets the answer. */
  readonly acknowledge: Level
  /** The longest that a leaf waits for its anchor to be sent. */
  readonly maxDelayMs: number
  /** Leaves that make an anchor due at once; 1: every one does. */
  readonly maxLeaves: number
  readonly onFailure: OnFailure
  readonly quorum: Quorum
  /** The longest that an answer is held. */
  readonly maxHoldMs: number
  /** The objective: the age of the oldest leaf without an anchor beyond which the gateway is degraded. */
  readonly maxLagMs: number
}

type Knobs = Pick<Anchoring, 'acknowledge' | 'maxDelayMs' | 'maxLeaves' | 'onFailure' | 'maxLagMs'>

const MINUTE_MS = 60_000
const KNOBS: Readonly<Record<Preset, Knobs>> = {
  strict: {
    acknowledge: 'included',
    maxDelayMs: 1000,
    maxLeaves: 1,
    onFailure: 'block',
    maxLagMs: 2 * MINUTE_MS,
  },
  bounded: {
    acknowledge: 'local',
    maxDelayMs: MINUTE_MS,
    maxLeaves: 1000,
    onFailure: 'queue',
    maxLagMs: 5 * MINUTE_MS,
  },
  eventual: {
    acknowledge: 'local',
    maxDelayMs: 60 * MINUTE_MS,
    maxLeaves: 100_000,
    onFailure: 'queue',
    // A day's budget may be used up: a new day brings a new one.
    maxLagMs: 36 * 60 * MINUTE_MS,
  },
}

/** The SDKs of OpenAI and Anthropic wait 10 min for an answer, Node's fetch 5 min for its first byte. */
const HOLD_MS = 2 * MINUTE_MS
/** Ethereum takes 13 min to be final; agents must be told to wait for so long. */
const FINAL_HOLD_MS = 20 * MINUTE_MS
/** An anchor that is due takes its time on the chain: an objective below so many delays would be missed always. */
const DELAYS_OF_LAG = 3

export function anchoringOf(config: AnchoringConfig): Anchoring {
  const knobs = { ...KNOBS[config.preset], ...config }
  const { acknowledge, maxDelayMs } = knobs
  const holdMs = acknowledge === 'safe' || acknowledge === 'finalized' ? FINAL_HOLD_MS : HOLD_MS
  const maxHoldMs = config.maxHoldMs ?? holdMs
  const least = Math.max(DELAYS_OF_LAG * maxDelayMs, needsHolding(acknowledge) ? maxHoldMs : 0)
  return {
    preset: knobs.preset,
    acknowledge,
    maxDelayMs,
    maxLeaves: knobs.maxLeaves,
    onFailure: knobs.onFailure,
    quorum: config.quorum ?? 'all',
    maxHoldMs,
    maxLagMs: config.maxLagMs ?? Math.max(KNOBS[config.preset].maxLagMs, least),
  }
}

/** The level that a leaf without an anchor lacks: how far behind the chains are is told by it. */
export const anchoredLevel = ({ acknowledge }: Pick<Anchoring, 'acknowledge'>): Level =>
  acknowledge === 'safe' || acknowledge === 'finalized' ? acknowledge : 'included'
