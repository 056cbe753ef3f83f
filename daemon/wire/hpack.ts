/**
 * Reads a connection's first block of HTTP/2 header fields (HPACK, RFC 7541).
 *
 * Threat model: the bytes are an agent's. They are no longer than the caller bounds them, and nothing here grows beyond
 * 8/5 of them; what can't be read ends the reading, with what was read till then.
 */
import { EOS, HUFFMAN, STATIC_NAMES } from './hpack-tables.ts'

export interface HeaderField {
  readonly name: string
  /** One character a byte (latin1); empty where the static table has it. */
  readonly value: string
}

/** @param block the fragments of a HEADERS frame and its CONTINUATIONs */
export function readFirstHeaders(block: Buffer): HeaderField[] {
  const reader = new Reader(block)
  const table = new Table()
  const fields: HeaderField[] = []
  for (let field = next(reader, table); field; field = next(reader, table)) {
    if (field !== 'update') fields.push(field)
  }
  return fields
}

/** Section 6: the first bits say what follows. */
function next(reader: Reader, table: Table): HeaderField | 'update' | undefined {
  const first = reader.peek()
  if (first === undefined) return undefined
  if (first & 0x80) return table.at(reader.number(7))
  if ((first & 0xe0) === 0x20) {
    return reader.number(5) === undefined ? undefined : 'update'
  }
  const kept = (first & 0x40) !== 0
  const index = reader.number(kept ? 6 : 4)
  if (index === undefined) return undefined
  const name = index === 0 ? reader.text() : table.at(index)?.name
  const value = name === undefined ? undefined : reader.text()
  if (name === undefined || value === undefined) return undefined
  if (kept) table.add({ name, value })
  return { name, value }
}

/**
 * Nothing is evicted: newer entries come first, so that older ones are in nobody's way, and a reference to one that is
 * gone ends the connection at the server.
 */
class Table {
  readonly #entries: HeaderField[] = []

  at(index: number | undefined): HeaderField | undefined {
    if (index === undefined || index === 0) return undefined
    const name = STATIC_NAMES[index - 1]
    return name === undefined ? this.#entries[index - 1 - STATIC_NAMES.length] : { name, value: '' }
  }

  add(entry: HeaderField): void {
    this.#entries.unshift(entry)
  }
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
    return coded ? huffman(raw) : raw.toString('latin1')
  }
}

/** What is left over at the end is padding. */
function huffman(raw: Buffer): string | undefined {
  const out: number[] = []
  let code = 0
  let bits = 0
  for (const byte of raw) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1)
      bits += 1
      const { first, symbols } = HUFFMAN[bits] ?? { first: 0, symbols: [EOS] }
      const symbol = symbols[code - first]
      if (symbol === undefined) continue
      if (symbol === EOS) return undefined
      out.push(symbol)
      code = 0
      bits = 0
    }
  }
  return Buffer.from(out).toString('latin1')
}
