/**
 * Writes HTTP/2 header blocks (HPACK, RFC 7541): the fields in the order given, each kept in the table or not as its
 * sender had it. What must never be kept is written so again, for the next hop.
 */
import type { HeaderField } from './hpack.ts'
import { DEFAULT_TABLE_SIZE, DynamicTable } from './hpack-dynamic-table.ts'
import { huffmanLength, writeHuffman } from './hpack-huffman.ts'
import { STATIC_ENTRIES } from './hpack-tables.ts'

/** A number or a length has up to five bytes here; a field two of them and its first byte. */
const MAX_FIELD_OVERHEAD = 12
const MAX_SIZE_UPDATE = 12

/** First byte and prefix of each form (section 6). */
const INDEXED = { bits: 0x80, prefix: 7 }
const SIZE_UPDATE = { bits: 0x20, prefix: 5 }
const LITERAL = {
  kept: { bits: 0x40, prefix: 6 },
  once: { bits: 0x00, prefix: 4 },
  never: { bits: 0x10, prefix: 4 },
} as const

const STATIC_FIELDS = new Map<string, number>()
const STATIC_NAMED = new Map<string, number>()
for (const [i, { name, value }] of STATIC_ENTRIES.entries()) {
  STATIC_FIELDS.set(keyOf(name, value), i + 1)
  if (!STATIC_NAMED.has(name)) STATIC_NAMED.set(name, i + 1)
}

export class HpackEncoder {
  readonly #table = new DynamicTable(DEFAULT_TABLE_SIZE, ({ name, value }, sequence) => {
    if (this.#fields.get(keyOf(name, value)) === sequence) this.#fields.delete(keyOf(name, value))
    if (this.#named.get(name) === sequence) this.#named.delete(name)
  })
  /** Which entry, counted from the first ever, has this field, and this name. */
  readonly #fields = new Map<string, number>()
  readonly #named = new Map<string, number>()
  #toldLimit = DEFAULT_TABLE_SIZE

  /** The peer's own limit. It only ever shrinks: nothing here needs a larger table than both sides begin with. */
  limit(size: number): void {
    if (size < this.#table.limit) this.#table.resize(size)
  }

  encode(fields: readonly HeaderField[]): Buffer {
    let size = MAX_SIZE_UPDATE
    for (const { name, value } of fields) size += name.length + value.length + MAX_FIELD_OVERHEAD
    const into = Buffer.allocUnsafe(size)
    let at = 0
    if (this.#toldLimit !== this.#table.limit) {
      this.#toldLimit = this.#table.limit
      at = writeNumber(into, at, SIZE_UPDATE, this.#toldLimit)
    }
    for (const field of fields) at = this.#write(into, at, field)
    return into.subarray(0, at)
  }

  #write(into: Buffer, offset: number, { name, value, indexing }: HeaderField): number {
    if (indexing === 'kept') {
      const known = STATIC_FIELDS.get(keyOf(name, value)) ?? this.#index(this.#fields.get(keyOf(name, value)))
      if (known !== undefined) return writeNumber(into, offset, INDEXED, known)
    }
    const named = STATIC_NAMED.get(name) ?? this.#index(this.#named.get(name)) ?? 0
    let at = writeNumber(into, offset, LITERAL[indexing], named)
    if (named === 0) at = writeText(into, at, name)
    at = writeText(into, at, value)
    if (indexing === 'kept') this.#keep(name, value)
    return at
  }

  #keep(name: string, value: string): void {
    if (!this.#table.add({ name, value })) return
    const sequence = this.#table.added - 1
    this.#fields.set(keyOf(name, value), sequence)
    this.#named.set(name, sequence)
  }

  /** The newest entry stands right after the static table. */
  #index(sequence: number | undefined): number | undefined {
    return sequence === undefined ? undefined : STATIC_ENTRIES.length + this.#table.added - sequence
  }
}

/** Neither has a NUL in it: such fields are refused before. */
function keyOf(name: string, value: string): string {
  return `${name}\0${value}`
}

function writeNumber(
  into: Buffer,
  offset: number,
  form: { readonly bits: number; readonly prefix: number },
  value: number,
): number {
  const most = (1 << form.prefix) - 1
  let at = offset
  if (value < most) {
    into[at++] = form.bits | value
    return at
  }
  into[at++] = form.bits | most
  let left = value - most
  for (; left >= 0x80; left >>>= 7) into[at++] = (left & 0x7f) | 0x80
  into[at++] = left
  return at
}

function writeText(into: Buffer, offset: number, text: string): number {
  const coded = huffmanLength(text)
  if (coded >= text.length) {
    const at = writeNumber(into, offset, { bits: 0, prefix: 7 }, text.length)
    return at + into.write(text, at, 'latin1')
  }
  return writeHuffman(text, into, writeNumber(into, offset, { bits: 0x80, prefix: 7 }, coded))
}
