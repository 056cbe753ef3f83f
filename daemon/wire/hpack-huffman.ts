/** HPACK's Huffman code for strings (RFC 7541 section 5.2 and appendix B). */
import { EOS, HUFFMAN } from './hpack-tables.ts'

/** At the end stand up to seven bits of padding, all ones. */
const MAX_PADDING = 7

/** One character a byte (latin1); undefined where the bytes are no such code. */
export function readHuffman(raw: Buffer): string | undefined {
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
  if (bits > MAX_PADDING || code !== 2 ** bits - 1) return undefined
  return Buffer.from(out).toString('latin1')
}

interface Code {
  readonly code: number
  readonly bits: number
}

/** By character code. */
const CODES: readonly Code[] = byCharacter()

function byCharacter(): Code[] {
  const all: Code[] = []
  for (const [bits, { first, symbols }] of HUFFMAN.entries()) {
    for (const [i, symbol] of symbols.entries()) all[symbol] = { code: first + i, bits }
  }
  return all
}

/** How many bytes the text has in this code. */
export function huffmanLength(text: string): number {
  let bits = 0
  for (let i = 0; i < text.length; i++) bits += (CODES[text.charCodeAt(i)] as Code).bits
  return Math.ceil(bits / 8)
}

/** @returns index after the last byte written */
export function writeHuffman(text: string, into: Buffer, offset: number): number {
  let at = offset
  let waiting = 0
  let bits = 0
  for (let i = 0; i < text.length; i++) {
    const one = CODES[text.charCodeAt(i)] as Code
    // Up to 7 bits wait and a code has up to 30: more than an integer of 32 holds.
    waiting = waiting * 2 ** one.bits + one.code
    bits += one.bits
    while (bits >= 8) {
      bits -= 8
      const byte = Math.floor(waiting / 2 ** bits)
      into[at++] = byte
      waiting -= byte * 2 ** bits
    }
  }
  if (bits > 0) into[at++] = waiting * 2 ** (8 - bits) + (2 ** (8 - bits) - 1)
  return at
}
