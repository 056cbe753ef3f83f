/**
 * Reads HTTP/2 header blocks (HPACK, RFC 7541).
 *
 * Threat model: the bytes are the peer's. A block is no longer than the caller bounds it; an index of one byte may name
 * an entry of a whole table, so the caller counts what it is given and keeps no more than it can hold. Strings of the
 * table are shared, never copied.
 */
import { DEFAULT_TABLE_SIZE, DynamicTable, type Entry } from './hpack-dynamic-table.ts'
import { readHuffman } from './hpack-huffman.ts'
import { STATIC_ENTRIES } from './hpack-tables.ts'

export interface HeaderField {
  readonly name: string
  /** One character a byte (latin1). */
  readonly value: string
  /** May it be kept in a table: `never` is a word to every hop (section 6.2.3). */
  readonly indexing: 'kept' | 'once' | 'never'
}

/** One side's state; blocks must be given to it all and in order. */
export class HpackDecoder {
  readonly #table = new DynamicTable(DEFAULT_TABLE_SIZE)
  readonly #maxTableSize: number

  /** @param maxTableSize what the peer was told that it may use */
  constructor(maxTableSize = DEFAULT_TABLE_SIZE) {
    this.#maxTableSize = maxTableSize
  }

  /**
   * @param block the fragments of a HEADERS frame and its CONTINUATIONs
   * @param take given the fields in order
   * @returns false where the block is malformed: the state is worth nothing any more
   */
  decode(block: Buffer, take: (field: HeaderField) => void): boolean {
    const reader = new Reader(block)
    for (let begun = false; ; ) {
      const first = reader.peek()
      if (first === undefined) return true
      if ((first & 0xe0) === 0x20) {
        const size = reader.number(5)
        if (begun || size === undefined || size > this.#maxTableSize) return false
        this.#table.resize(size)
        continue
      }
      begun = true
      const field = this.#field(reader, first)
      if (!field) return false
      take(field)
    }
  }

  /** Section 6: the first bits say what follows. */
  #field(reader: Reader, first: number): HeaderField | undefined {
    if (first & 0x80) {
      const entry = this.#at(reader.number(7))
      return entry && { name: entry.name, value: entry.value, indexing: 'kept' }
    }
    const kept = (first & 0x40) !== 0
    const index = reader.number(kept ? 6 : 4)
    const name = index === 0 ? reader.text() : this.#at(index)?.name
    const value = name === undefined ? undefined : reader.text()
    if (name === undefined || value === undefined) return undefined
    if (kept) this.#table.add({ name, value })
    return { name, value, indexing: kept ? 'kept' : (first & 0x10) !== 0 ? 'never' : 'once' }
  }

  #at(index: number | undefined): Entry | undefined {
    if (index === undefined || index === 0) return undefined
    return STATIC_ENTRIES[index - 1] ?? this.#table.at(index - 1 - STATIC_ENTRIES.length)
  }
}

/** The first block holds what it can: no server may have told the client of a smaller table. */
const ANY_TABLE_SIZE = 0x7fff_ffff

/** Reads a connection's first block, as far as it can be read. */
export function readFirstHeaders(block: Buffer): HeaderField[] {
  const fields: HeaderField[] = []
  new HpackDecoder(ANY_TABLE_SIZE).decode(block, (field) => fields.push(field))
  return fields
}

class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  peek(): number | undefined {
    return this.#bytes[this.#at]
  }

  /** Section 5.1. @param prefix bits of the first byte that belong to it */
  number(prefix: number): number | undefined {
    const first = this.#bytes[this.#at++]
    if (first === undefined) return undefined
    const most = (1 << prefix) - 1
    let value = first & most
    if (value < most) return value
    // Four bytes more reach beyond any length there can be here.
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) return undefined
      value += (byte & 0x7f) << shift
      if ((byte & 0x80) === 0) return value
    }
    return undefined
  }

  /** Section 5.2. */
  text(): string | undefined {
    const coded = ((this.peek() ?? 0) & 0x80) !== 0
    const length = this.number(7)
    if (length === undefined || this.#at + length > this.#bytes.length) return undefined
    const raw = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return coded ? readHuffman(raw) : raw.toString('latin1')
  }
}
