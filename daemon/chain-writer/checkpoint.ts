/** What the recorder hands over to be anchored, and when it is due: pure. */

/** Hashes of an RFC 9162 consistency proof, 64 hexadecimal digits each, from the tree of `from` leaves. */
export interface Consistency {
  readonly from: bigint
  readonly proof: readonly string[]
}

export interface AnchorCheckpoint {
  readonly size: bigint
  /** 64 lower-case hexadecimal digits. */
  readonly root: string
  /** The signed note, kept with the anchor so that a receipt can show what was anchored. */
  readonly note: string
}

export interface Anchoring {
  /** The longest that a leaf in a checkpoint waits for its anchor to be sent. */
  readonly maxDelayMs: number
  /** Leaves that make an anchor due at once. */
  readonly maxLeaves: number
}

export interface Waiting {
  /** Size on the chain; 0n where nothing is anchored yet. */
  readonly anchored: bigint
  readonly newest: bigint
  /** When the first checkpoint beyond the anchored one came (ms since the epoch). */
  readonly since: number
  readonly now: number
}

/**
 * A log of fewer leaves is young: somebody watches an installation, and waits for its first call to be anchored. At
 * most so many anchors come early in all.
 */
const YOUNG_LEAVES = 32n
const YOUNG_DELAY_MS = 2000

export const isYoung = (size: bigint): boolean => size < YOUNG_LEAVES

/** Milliseconds until the newest checkpoint is to be anchored: 0 is now. The first ever is anchored at once. */
export function dueIn(
  { anchored, newest, since, now }: Waiting,
  { maxDelayMs, maxLeaves }: Anchoring,
): number {
  if (newest <= anchored) return Number.POSITIVE_INFINITY
  if (anchored === 0n || newest - anchored >= BigInt(maxLeaves)) return 0
  // A clock that was set back must not put the anchor off for longer than the delay itself.
  const delay = isYoung(anchored) ? Math.min(YOUNG_DELAY_MS, maxDelayMs) : maxDelayMs
  return Math.max(0, Math.min(since + delay - now, delay))
}
