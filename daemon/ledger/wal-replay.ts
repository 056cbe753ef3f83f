/** What a write-ahead log still holds when a ledger is opened. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { AppendFile } from '../base/durable/append-file.ts'
import type { FileSystem } from '../base/durable/file-system.ts'
import { LedgerError, RESTORE } from './errors.ts'
import { isAbsent, readIfPresent, WAL_DIRECTORY } from './files.ts'
import { decodeSegment, encodeSegmentHeader, segmentName, segmentNumber } from './wal-frame.ts'

/** The torn end of the last write before a crash: never acknowledged, cut off. */
export interface TornTail {
  /** Relative to the log's directory. */
  readonly file: string
  readonly offset: number
  readonly bytes: number
}

/** Numbers of the segments there are, ascending. */
export function listSegments(dir: string): number[] {
  try {
    const numbers = readdirSync(join(dir, WAL_DIRECTORY)).map(segmentNumber)
    return numbers.filter((number) => number !== undefined).sort((a, b) => a - b)
  } catch (error) {
    if (isAbsent(error)) return []
    throw error
  }
}

/**
 * Yields the leaves from index `from` on, one segment at a time; returns the torn tail, which it has cut.
 * @throws LedgerError WAL_DAMAGED if anything but the very end is not as written, or leaves are missing.
 */
export async function* replayWal(
  dir: string,
  from: bigint,
  fs: FileSystem,
): AsyncGenerator<Buffer[], TornTail | undefined> {
  const numbers = listSegments(dir)
  let next: bigint | undefined
  for (const [i, number] of numbers.entries()) {
    const file = join(WAL_DIRECTORY, segmentName(number))
    const bytes = readIfPresent(join(dir, file))
    if (bytes === undefined || number !== numbers[0]! + i)
      throw damaged(`the segment before ${file} is missing`)
    // Up to `from` the tiles hold the leaves, whatever became of these frames.
    const expected = next !== undefined && next >= from ? next : undefined
    const { frames, bad } = decodeSegment(bytes, number, expected, from)
    const first = frames[0]
    if (expected === undefined && first !== undefined && first.index > from) {
      throw damaged(`leaves ${from} to ${first.index - 1n} are neither in tiles nor in ${WAL_DIRECTORY}`)
    }
    if (first !== undefined) next = frames[frames.length - 1]!.index + 1n
    if (bad !== undefined && (bad.kind === 'rot' || !numbers.slice(i + 1).every((n) => isUnused(dir, n))))
      throw damaged(`${file} at ${bad.offset}: ${bad.what}`)
    // Copies: the edge keeps the last few, which must not keep the whole segment.
    yield frames.filter(({ index }) => index >= from).map(({ leaf }) => Buffer.from(leaf))
    if (bad !== undefined) {
      await cut(join(dir, file), bad.offset, fs)
      return { file, offset: bad.offset, bytes: bytes.length - bad.offset }
    }
  }
  return undefined
}

/** Whether a segment holds no frame: it was made to come next while the one before was still being written. */
export function isUnused(dir: string, number: number): boolean {
  return (
    readIfPresent(join(dir, WAL_DIRECTORY, segmentName(number)))?.equals(encodeSegmentHeader(number)) === true
  )
}

/** Cut before anything else is appended: later a bad frame in this place would look like rot. */
async function cut(path: string, offset: number, fs: FileSystem): Promise<void> {
  const file = await AppendFile.open(path, { fs })
  try {
    await file.truncate(offset)
    await file.sync()
  } finally {
    await file.close()
  }
}

function damaged(what: string): LedgerError {
  return new LedgerError('WAL_DAMAGED', `acknowledged leaves are damaged: ${what}`, RESTORE)
}
