/** Checks the write-ahead log, also while the daemon appends to it and removes integrated segments. */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Damage } from './damage.ts'
import { readIfPresent, WAL_DIRECTORY } from './files.ts'
import { decodeSegment, segmentName, type WalFrame } from './wal-frame.ts'
import { isUnused, listSegments } from './wal-replay.ts'

/** Bad bytes count once they stayed so for a second: a frame that is being written is whole long before. */
const CONFIRMATIONS = 5
const PAUSE_MS = 200
const MAX_LOOKS = 50

export interface WalFinding {
  readonly damages: readonly Damage[]
  /** Index of the first leaf still there. */
  readonly first: bigint | undefined
  readonly segments: number
}

/** @param integrated leaves that are in tiles, at least. */
export async function checkWal(dir: string, integrated: bigint): Promise<WalFinding> {
  let seen = new Map<string, number>()
  let finding: WalFinding = { damages: [], first: undefined, segments: 0 }
  for (let look = 0; look < MAX_LOOKS; look++) {
    const now = lookAtWal(dir, integrated)
    // Segments went while they were read: the daemon integrated them. Look again at what is left.
    if (now === undefined) continue
    finding = now
    const counts = new Map<string, number>()
    for (const damage of now.damages) {
      const key = `${damage.file} ${damage.offset}`
      counts.set(key, (seen.get(key) ?? 0) + 1)
    }
    seen = counts
    const confirmed = now.damages.filter(
      (damage) => counts.get(`${damage.file} ${damage.offset}`)! >= CONFIRMATIONS,
    )
    if (now.damages.length === 0 || confirmed.length > 0) return { ...now, damages: confirmed }
    await setTimeout(PAUSE_MS)
  }
  // Something else each time: a daemon at work.
  return { ...finding, damages: [] }
}

function lookAtWal(dir: string, integrated: bigint): WalFinding | undefined {
  const damages: Damage[] = []
  const numbers = listSegments(dir)
  let first: bigint | undefined
  let next: bigint | undefined
  for (const [i, number] of numbers.entries()) {
    const file = `${WAL_DIRECTORY}/${segmentName(number)}`
    const bytes = readIfPresent(join(dir, file))
    if (bytes === undefined) return undefined
    if (i > 0 && number !== numbers[i - 1]! + 1)
      damages.push({ file, what: 'the segment before it is missing' })
    const { frames, bad } = decodeSegment(bytes, number, next, integrated)
    first ??= frames[0]?.index
    const last = frames.at(-1)
    if (last !== undefined) next = last.index + 1n
    if (bad !== undefined) {
      const torn = bad.kind === 'torn' && numbers.slice(i + 1).every((n) => isUnused(dir, n))
      const what = torn
        ? `${bad.what} at the end: torn by a crash (cut at the next start) or altered`
        : bad.what
      damages.push({ file, offset: bad.offset, what })
      // What follows can be of any index now.
      next = undefined
    }
  }
  return { damages, first, segments: numbers.length }
}

/** Leaves from index `from` on that the log holds in order, whatever else is damaged. */
export function leavesFrom(dir: string, from: bigint): Buffer[] {
  const frames: WalFrame[] = []
  for (const number of listSegments(dir)) {
    const bytes = readIfPresent(join(dir, WAL_DIRECTORY, segmentName(number)))
    if (bytes !== undefined)
      frames.push(...decodeSegment(bytes, number).frames.filter(({ index }) => index >= from))
  }
  const end = frames.findIndex(({ index }, i) => index !== from + BigInt(i))
  return frames.slice(0, end < 0 ? frames.length : end).map(({ leaf }) => leaf)
}
