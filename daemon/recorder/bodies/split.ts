/**
 * Content-defined chunking: cuts stand where the content says so, so a message inserted into a history
 * changes the chunks around it and no others. Gear hash with normalised chunk sizes, after FastCDC
 * (Xia et al., USENIX ATC 2016).
 *
 * The gear table is keyed: with a public one, the lengths of the encrypted chunks would tell a reader of
 * the disk whether a text he knows is stored.
 */
import { createHmac } from 'node:crypto'

const MIN_CHUNK = 2 << 10
const AVERAGE_CHUNK = 8 << 10
export const MAX_CHUNK = 64 << 10
/** Before the average size a cut is 4 times rarer than 1/8192, after it 4 times commoner. */
const RARE = 0xfffe0000 | 0
const COMMON = 0xffe00000 | 0

export type GearTable = Int32Array

export function gearTable(key: Buffer): GearTable {
  const table = new Int32Array(256)
  for (let i = 0; i < 256; i++) {
    table[i] = createHmac('sha256', key).update(`gear/${i}`).digest().readInt32BE(0)
  }
  return table
}

/** Length of the first chunk of `bytes`, which are the end of a stream or at least {@link MAX_CHUNK}. */
function firstCut(table: GearTable, bytes: Uint8Array): number {
  const end = Math.min(bytes.length, MAX_CHUNK)
  const turn = Math.min(AVERAGE_CHUNK, end)
  let hash = 0
  let at = MIN_CHUNK
  for (; at < turn; at++) {
    hash = ((hash << 1) + table[bytes[at]!]!) | 0
    if ((hash & RARE) === 0) return at + 1
  }
  for (; at < end; at++) {
    hash = ((hash << 1) + table[bytes[at]!]!) | 0
    if ((hash & COMMON) === 0) return at + 1
  }
  return end
}

/** The chunks of `bytes`, in order; they share its memory. */
export function split(table: GearTable, bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = []
  let rest = bytes
  while (rest.length > 0) {
    const length = firstCut(table, rest)
    chunks.push(rest.subarray(0, length))
    rest = rest.subarray(length)
  }
  return chunks
}

/** Splits a stream in constant memory; the chunks are those of {@link split} over the whole. */
export class Splitter {
  readonly #table: GearTable
  #parts: Buffer[] = []
  #size = 0

  constructor(table: GearTable) {
    this.#table = table
  }

  push(bytes: Buffer): Buffer[] {
    this.#parts.push(bytes)
    this.#size += bytes.length
    const chunks: Buffer[] = []
    if (this.#size < MAX_CHUNK) return chunks
    let rest = this.#take()
    while (rest.length >= MAX_CHUNK) {
      const length = firstCut(this.#table, rest)
      chunks.push(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
    this.#parts = [rest]
    this.#size = rest.length
    return chunks
  }

  finish(): Buffer[] {
    return split(this.#table, this.#take())
  }

  #take(): Buffer {
    const all = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    this.#parts = []
    this.#size = 0
    return all
  }
}
