/**
 * The bytes of SQLite's write-ahead log against its own checksums (sqlite.org/fileformat2.html#walformat). SQLite
 * itself takes the first frame that doesn't fit for the end of the log and passes over what follows in silence.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const HEADER = 32
const FRAME_HEADER = 24
const MAGIC = 0x377f0682
const MAX_PAGE = 65_536
/** A commit under way is over after this. */
const SETTLE_MS = 400

interface Bad {
  readonly offset: number
  readonly what: string
}

/** Where the log in `file` is damaged: nothing for one that is whole, absent, or being written. */
export async function walDamage(file: string): Promise<Bad | undefined> {
  const first = look(file)
  if (first === undefined) return undefined
  await delay(SETTLE_MS)
  const again = look(file)
  return again?.offset === first.offset ? again : undefined
}

function look(file: string): Bad | undefined {
  let fd: number
  try {
    fd = openSync(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    return scan(fd)
  } finally {
    closeSync(fd)
  }
}

type Sums = readonly [number, number]

function scan(fd: number): Bad | undefined {
  const header = read(fd, 0, HEADER)
  if (header.length === 0) return undefined
  const big = (header[3]! & 1) === 1
  const intact =
    header.length === HEADER &&
    header.readUInt32BE(0) >>> 1 === MAGIC >>> 1 &&
    header.readUInt32BE(8) <= MAX_PAGE &&
    same(checksum([0, 0], header.subarray(0, 24), big), sumsAt(header, 24))
  if (!intact) return { offset: 0, what: 'the header is damaged' }
  const length = FRAME_HEADER + header.readUInt32BE(8)
  const salts = header.subarray(16, 24)
  let before = sumsAt(header, 24)
  let bad: (Bad & { readonly computed: Sums }) | undefined
  for (let offset = HEADER; ; offset += length) {
    const frame = read(fd, offset, length)
    // Cut short by a kill, or still being written: never committed.
    if (frame.length < length) return undefined
    const stored = sumsAt(frame, 16)
    const ours = frame.subarray(8, 16).equals(salts)
    const sealed = (seed: Sums) => same(frameSum(seed, frame, big), stored)
    const commits = frame.readUInt32BE(4) !== 0
    if (bad !== undefined) {
      // Behind the end of a log there may be frames of an older one, or of a commit that a kill cut short, but
      // never the end of a commit.
      if (ours && commits && (sealed(before) || sealed(bad.computed))) return bad
    } else if (!ours || !sealed(before)) {
      bad = { offset, what: 'a damaged frame', computed: frameSum(before, frame, big) }
      if (ours ? commits : sealed(before)) return bad
    }
    before = stored
  }
}

function frameSum(seed: Sums, frame: Buffer, big: boolean): Sums {
  return checksum(checksum(seed, frame.subarray(0, 8), big), frame.subarray(FRAME_HEADER), big)
}

function checksum([first, second]: Sums, bytes: Buffer, big: boolean): Sums {
  let s0 = first
  let s1 = second
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    s0 = (s0 + (big ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + s1) >>> 0
    s1 = (s1 + (big ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + s0) >>> 0
  }
  return [s0, s1]
}

function sumsAt(bytes: Buffer, at: number): Sums {
  return bytes.length < at + 8 ? [0, 0] : [bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)]
}

const same = (a: Sums, b: Sums): boolean => a[0] === b[0] && a[1] === b[1]

function read(fd: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, readSync(fd, bytes, 0, length, offset))
}
