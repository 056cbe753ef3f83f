/** Changes to one file, each with its inverse: a bit that flips, a cut, the file gone. */
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, renameSync, statSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { AWAY } from './place.ts'

export const seed = Number(process.env.TAP_DAMAGE_SEED ?? randomBytes(4).readUInt32LE())

/** A number below `limit` for this seed and these words: a run with the same seed meets the same bytes. */
function random(limit: number, ...words: (string | number)[]): number {
  const digest = createHash('sha256')
    .update([seed, ...words].join('\0'))
    .digest()
  return digest.readUInt32LE() % limit
}

export interface Spoiling {
  readonly what: string
  readonly kind: 'flip' | 'cut' | 'gone'
  /** @returns its inverse */
  spoil(path: string): () => void
}

export const flip = (at: number, bit: number): Spoiling => ({
  what: `byte ${at} flipped (bit ${bit})`,
  kind: 'flip',
  spoil(path) {
    const whole = readFileSync(path)
    const bytes = Buffer.from(whole)
    bytes[at]! ^= 1 << bit
    overwrite(path, bytes)
    return () => overwrite(path, whole)
  },
})

const cut = (to: number): Spoiling => ({
  what: `cut to ${to} bytes`,
  kind: 'cut',
  spoil(path) {
    const whole = readFileSync(path)
    truncateSync(path, to)
    return () => overwrite(path, whole)
  },
})

/** Changes the bytes of a file in place, as a disk would: the daemon may have it open. */
function overwrite(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, 0)
  closeSync(fd)
  if (statSync(path).size !== bytes.length) truncateSync(path, bytes.length)
}

export const gone: Spoiling = {
  what: 'taken away',
  kind: 'gone',
  spoil(path) {
    // Moved, not removed, so that a daemon that has it open goes on with it afterwards.
    const elsewhere = join(AWAY, createHash('sha256').update(path).digest('hex'))
    renameSync(path, elsewhere)
    return () => renameSync(elsewhere, path)
  },
}

/** First, middle, last and `more` random bytes; cut to nothing, to the half and by one; gone. */
export function spoilings(file: string, size: number, more: number): Spoiling[] {
  const bit = (at: number) => random(8, file, 'bit', at)
  const places = [0, size >> 1, size - 1, ...Array.from({ length: more }, (_, i) => random(size, file, i))]
  const flips = size === 0 ? [] : [...new Set(places)].map((at) => flip(at, bit(at)))
  const cuts = size === 0 ? [] : [...new Set([0, size >> 1, size - 1])].map(cut)
  return [...flips, ...cuts, gone]
}
