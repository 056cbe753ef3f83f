/**
 * The write-ahead log's bytes. Pure.
 *
 * A segment: `AAGWAL1\n` | u64be number | SHA-256 of these 16 bytes, then frames:
 * `AAGF` | u16be position in its batch | u16be length | u64be index | leaf | SHA-256 of all before.
 *
 * The marker lets the reader find the next frame behind a bad one whatever was damaged, its length included.
 * That tells rot from a torn write. A batch is written at once and synced before the next one begins, and of a write
 * that was not synced a power loss keeps any sectors: so a bad frame may have good ones of its own batch behind it, but
 * one of a later batch means that bytes changed which had been made durable.
 */
import { sha256 } from '#platform'

const SEGMENT_MAGIC = Buffer.from('AAGWAL1\n')
const FRAME_MAGIC = Buffer.from('AAGF')
const SUM = 32
const HEADER = 16
export const SEGMENT_HEADER = HEADER + SUM
const FRAME_OVERHEAD = HEADER + SUM

export function segmentName(number: number): string {
  return `${String(number).padStart(10, '0')}.wal`
}

/** The number in a segment's name; undefined for any other name. */
export function segmentNumber(name: string): number | undefined {
  return /^[0-9]{10}\.wal$/.test(name) ? Number(name.slice(0, 10)) : undefined
}

export function encodeSegmentHeader(number: number): Buffer {
  const header = Buffer.alloc(HEADER)
  SEGMENT_MAGIC.copy(header)
  header.writeBigUInt64BE(BigInt(number), 8)
  return Buffer.concat([header, sha256(header)])
}

/** Most frames of one batch: positions are 16 bits. */
export const MAX_BATCH_FRAMES = 0x10000

/** @param position of the frame in the batch that is written at once, from 0 */
export function encodeFrame(index: bigint, leaf: Uint8Array, position = 0): Buffer {
  const frame = Buffer.allocUnsafe(leaf.length + FRAME_OVERHEAD)
  writeFrame(frame, 0, { index, leaf, position })
  return frame
}

/** @returns where the frame ends */
function writeFrame(
  target: Buffer,
  start: number,
  { index, leaf, position }: { index: bigint; leaf: Uint8Array; position: number },
): number {
  FRAME_MAGIC.copy(target, start)
  target.writeUInt16BE(position, start + 4)
  target.writeUInt16BE(leaf.length, start + 6)
  target.writeBigUInt64BE(index, start + 8)
  target.set(leaf, start + HEADER)
  const end = start + HEADER + leaf.length
  sha256(target.subarray(start, end)).copy(target, end)
  return end + SUM
}

/** Leaves that are written at once. */
export interface WalBatch {
  readonly first: bigint
  readonly count: number
  /** Their frames. One buffer and not one a leaf: they live until they are integrated, and a collector counts them. */
  readonly bytes: Buffer
}

export function encodeBatch(first: bigint, leaves: readonly Uint8Array[]): WalBatch {
  const length = leaves.reduce((total, leaf) => total + leaf.length + FRAME_OVERHEAD, 0)
  const bytes = Buffer.allocUnsafeSlow(length)
  let offset = 0
  for (const [position, leaf] of leaves.entries())
    offset = writeFrame(bytes, offset, { index: first + BigInt(position), leaf, position })
  return { first, count: leaves.length, bytes }
}

/** The leaves of batches that {@link encodeBatch} made; they share its memory. */
export function* leavesOf(batches: Iterable<WalBatch>): Generator<Buffer> {
  for (const { bytes } of batches) {
    for (let start = 0; start < bytes.length; ) {
      const end = start + HEADER + bytes.readUInt16BE(start + 6)
      yield bytes.subarray(start + HEADER, end)
      start = end + SUM
    }
  }
}

export interface WalFrame {
  readonly index: bigint
  /** Index of the first leaf of its batch. */
  readonly batch: bigint
  /** Shares memory with the segment. */
  readonly leaf: Buffer
}

/** Bytes that are no frame: `rot` if frames of a later batch follow, else what a crash left of the last batch. */
export interface BadBytes {
  readonly kind: 'rot' | 'torn'
  readonly offset: number
  readonly what: string
}

export interface Segment {
  /** In order, up to the first bad byte. */
  readonly frames: readonly WalFrame[]
  readonly bad?: BadBytes
}

/**
 * Takes a segment apart.
 * @param first index that its first frame must have; undefined where any may come.
 * @param integrated leaves that are in tiles already: always whole batches.
 */
export function decodeSegment(bytes: Buffer, number: number, first?: bigint, integrated = 0n): Segment {
  const header = bytes.subarray(0, SEGMENT_HEADER)
  // The header is in place before the segment has its name, so it is never torn.
  if (!header.equals(encodeSegmentHeader(number))) {
    return { frames: [], bad: { kind: 'rot', offset: 0, what: 'the segment header is damaged' } }
  }
  const frames: WalFrame[] = []
  let expected = first
  let offset = SEGMENT_HEADER
  while (offset < bytes.length) {
    const frame = frameAt(bytes, offset)
    if (frame === undefined || (expected !== undefined && frame.index !== expected)) {
      const what = frame === undefined ? 'a damaged frame' : `leaf ${frame.index} where ${expected} belongs`
      // A whole frame out of order is no torn write either.
      const rotten = frame !== undefined || otherBatchBehind(bytes, offset, expected, integrated)
      const kind = rotten ? 'rot' : 'torn'
      return { frames, bad: { kind, offset, what } }
    }
    frames.push(frame)
    expected = frame.index + 1n
    offset += FRAME_OVERHEAD + frame.leaf.length
  }
  return { frames }
}

function frameAt(bytes: Buffer, offset: number): WalFrame | undefined {
  if (offset + FRAME_OVERHEAD > bytes.length) return undefined
  if (!bytes.subarray(offset, offset + FRAME_MAGIC.length).equals(FRAME_MAGIC)) return undefined
  const end = offset + HEADER + bytes.readUInt16BE(offset + 6)
  if (end + SUM > bytes.length) return undefined
  if (!sha256(bytes.subarray(offset, end)).equals(bytes.subarray(end, end + SUM))) return undefined
  const index = bytes.readBigUInt64BE(offset + 8)
  const batch = index - BigInt(bytes.readUInt16BE(offset + 4))
  return { index, batch, leaf: bytes.subarray(offset + HEADER, end) }
}

/**
 * Whether a good frame behind the bad one at `offset`, which should hold leaf `expected`, is of another batch. Where
 * nobody knows what it should hold, it is torn only as the beginning of the first batch that is not in tiles.
 */
function otherBatchBehind(
  bytes: Buffer,
  offset: number,
  expected: bigint | undefined,
  integrated: bigint,
): boolean {
  for (let at = bytes.indexOf(FRAME_MAGIC, offset + 1); at >= 0; at = bytes.indexOf(FRAME_MAGIC, at + 1)) {
    const frame = frameAt(bytes, at)
    if (frame === undefined) continue
    const other =
      expected === undefined
        ? frame.batch !== integrated || frame.index === frame.batch
        : frame.batch > expected
    if (other) return true
  }
  return false
}
