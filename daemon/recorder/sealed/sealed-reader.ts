/** Reads sealed files (format.ts) that may be damaged, cut short, or still being written. */

import type { KeyObject } from 'node:crypto'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import {
  ENTRY_HEADER,
  ENTRY_MAGIC,
  ENTRY_OVERHEAD,
  entryLength,
  FILE_HEADER,
  openHeader,
  type Purpose,
  sealEntry,
  unsealEntry,
} from './format.ts'

export interface SealedEntry {
  readonly offset: number
  /** Bytes in the file, overhead included. */
  readonly length: number
  readonly plain: Buffer
}

/** A span that didn't open; reading went on behind it. */
export interface SealedDamage {
  readonly offset: number
  readonly damage: string
  /** True where nothing that opens follows: an append that a crash cut short looks like this. */
  readonly tail: boolean
}

const WINDOW = 1 << 20

export class SealedReader {
  readonly #fd: number
  readonly #key: KeyObject
  readonly headerIntact: boolean
  #window: Buffer = Buffer.alloc(0)
  #windowStart = 0
  #scratch: Buffer = Buffer.alloc(0)

  /** @throws the system's error where the file can't be opened. */
  constructor(path: string, bodyKey: Buffer, purpose: Purpose, number: number) {
    this.#fd = openSync(path, 'r')
    const header = Buffer.alloc(FILE_HEADER)
    const got = readSync(this.#fd, header, 0, FILE_HEADER, 0)
    const { key, headerIntact } = openHeader(bodyKey, purpose, number, header)
    this.#key = key
    this.headerIntact = headerIntact && got === FILE_HEADER
  }

  get size(): number {
    return fstatSync(this.#fd).size
  }

  /** @throws RecorderError DAMAGED */
  entry(offset: number, length: number): Buffer {
    // The ciphertext is needed for a moment only: one buffer serves all entries of ordinary size.
    if (length > this.#scratch.length && length <= WINDOW) this.#scratch = Buffer.allocUnsafeSlow(length)
    const bytes = length <= WINDOW ? this.#scratch.subarray(0, length) : Buffer.allocUnsafe(length)
    const got = readFully(this.#fd, bytes, offset)
    return unsealEntry(this.#key, offset, bytes.subarray(0, got))
  }

  /** Every entry from `from` on, and the spans between them that don't open, in order. */
  *scan(from = FILE_HEADER): Generator<SealedEntry | SealedDamage> {
    this.#window = Buffer.alloc(0)
    const end = this.size
    let offset = from
    let bad: number | undefined
    while (offset < end) {
      const entry = this.#tryEntry(offset, end)
      if (entry !== undefined) {
        if (bad !== undefined) yield { offset: bad, damage: 'bytes that do not authenticate', tail: false }
        bad = undefined
        yield entry
        offset += entry.length
      } else {
        bad ??= offset
        offset = this.#nextMagic(offset + 1, end)
      }
    }
    if (bad !== undefined) yield { offset: bad, damage: 'an incomplete or damaged end', tail: true }
  }

  /** An entry that can stand at `offset` of this file. */
  sealed(offset: number, parts: readonly Buffer[]): Buffer {
    return sealEntry(this.#key, offset, parts)
  }

  close(): void {
    closeSync(this.#fd)
  }

  #tryEntry(offset: number, end: number): SealedEntry | undefined {
    const plainLength = entryLength(this.#read(offset, ENTRY_HEADER))
    if (plainLength === undefined) return undefined
    const length = ENTRY_OVERHEAD + plainLength
    if (offset + length > end) return undefined
    try {
      return { offset, length, plain: unsealEntry(this.#key, offset, this.#read(offset, length)) }
    } catch {
      return undefined
    }
  }

  /** Where an entry may begin next; a hit by chance fails to authenticate and costs one more look. */
  #nextMagic(from: number, end: number): number {
    for (let at = from; at < end; at += WINDOW) {
      const found = this.#read(at, Math.min(WINDOW + ENTRY_MAGIC.length - 1, end - at)).indexOf(ENTRY_MAGIC)
      if (found !== -1) return at + found
    }
    return end
  }

  /** Up to `length` bytes at `offset`, through a read-ahead window. */
  #read(offset: number, length: number): Buffer {
    const start = offset - this.#windowStart
    if (start >= 0 && start + length <= this.#window.length) {
      return this.#window.subarray(start, start + length)
    }
    const window = Buffer.allocUnsafe(Math.max(length, Math.min(WINDOW, Math.max(0, this.size - offset))))
    this.#window = window.subarray(0, readFully(this.#fd, window, offset))
    this.#windowStart = offset
    return this.#window.subarray(0, length)
  }
}

function readFully(fd: number, into: Buffer, position: number): number {
  let got = 0
  while (got < into.length) {
    const n = readSync(fd, into, got, into.length - got, position + got)
    if (n === 0) break
    got += n
  }
  return got
}
