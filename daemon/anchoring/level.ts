/**
 * How far the evidence for a leaf has come. Each level includes the ones before it: what is `included` in a chain is
 * under a signed checkpoint too, and cosigned where the gateway has witnesses at all. Pure.
 */

export const LEVELS = [
  /** On this machine's disk. */
  'local',
  /** Under a signed checkpoint. */
  'checkpointed',
  /** Under a checkpoint that enough witnesses cosigned. */
  'witnessed',
  /** In a transaction that was handed to the chains. */
  'submitted',
  /** In a block. */
  'included',
  'safe',
  'finalized',
] as const
export type Level = (typeof LEVELS)[number]

/** Of the chains that count, how many must have it. */
export type Quorum = 'any' | 'all' | number

/** Leaves of the newest tree that a chain has, by how certain it is that it keeps it. */
export interface ChainSizes {
  readonly submitted: bigint
  readonly included: bigint
  readonly safe: bigint
  readonly finalized: bigint
}

/** Sizes of trees: a leaf is in one if its index is smaller. */
export interface Standing {
  readonly local: bigint
  readonly checkpointed: bigint
  /** Undefined where no witness is configured: the level is then none to wait for. */
  readonly witnessed: bigint | undefined
  /** Of the chains that count. */
  readonly chains: readonly ChainSizes[]
}

const atLeast = (level: Level, other: Level): boolean => LEVELS.indexOf(level) >= LEVELS.indexOf(other)

/** Is it a level that chains are needed for? */
export const needsChain = (level: Level): boolean => atLeast(level, 'submitted')

/** Is a level beyond what the agent's answer waits for anyway: its request on disk? */
export const needsHolding = (level: Level): boolean => level !== 'local'

/** How many of so many chains a quorum is; more than there are where it can't be had. */
export const quorumOf = (quorum: Quorum, chains: number): number =>
  quorum === 'any' ? 1 : quorum === 'all' ? Math.max(1, chains) : quorum

/** Leaves that are at the level: those with a smaller index. */
export function reachedSize(standing: Standing, level: Level, quorum: Quorum): bigint {
  const { local, checkpointed, witnessed, chains } = standing
  const sizes = [local]
  if (atLeast(level, 'checkpointed')) sizes.push(checkpointed)
  if (witnessed !== undefined && atLeast(level, 'witnessed')) sizes.push(witnessed)
  if (level === 'witnessed' && witnessed === undefined) sizes.push(0n)
  if (needsChain(level))
    sizes.push(
      agreed(
        chains.map((chain) => sizeAt(chain, level)),
        quorum,
      ),
    )
  return least(sizes)
}

/** The highest level that a leaf is at; undefined where it isn't even on disk. */
export function levelOf(leaf: bigint, standing: Standing, quorum: Quorum): Level | undefined {
  return LEVELS.findLast((level) => leaf < reachedSize(standing, level, quorum))
}

/** What is final is safe, and what is safe is included, whatever order the chain's answers came in. */
function sizeAt({ submitted, included, safe, finalized }: ChainSizes, level: Level): bigint {
  switch (level) {
    case 'finalized':
      return finalized
    case 'safe':
      return most([safe, finalized])
    case 'included':
      return most([included, safe, finalized])
    default:
      return most([submitted, included, safe, finalized])
  }
}

/** What at least as many chains have as the quorum wants. */
const agreed = (sizes: readonly bigint[], quorum: Quorum): bigint =>
  falling(sizes)[quorumOf(quorum, sizes.length) - 1] ?? 0n

const most = (sizes: readonly bigint[]): bigint => falling(sizes)[0] ?? 0n
const least = (sizes: readonly bigint[]): bigint => falling(sizes).at(-1) ?? 0n
const falling = (sizes: readonly bigint[]): bigint[] => sizes.toSorted((a, b) => (a < b ? 1 : a > b ? -1 : 0))
