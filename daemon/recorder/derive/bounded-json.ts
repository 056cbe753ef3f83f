/**
 * JSON.parse with a bound on what it builds: 16 MiB of `[[],[],…` would become hundreds of megabytes of
 * objects, and content is the attacker's.
 */
const MAX_BYTES = 16 << 20
const MAX_VALUES = 500_000

const QUOTE = 0x22
const BACKSLASH = 0x5c

export type ParsedJson = { readonly value: unknown } | { readonly unparsed: string }

export function parseBounded(bytes: Buffer): ParsedJson {
  if (bytes.length > MAX_BYTES) return { unparsed: `longer than ${MAX_BYTES >> 20} MiB` }
  if (countValues(bytes) > MAX_VALUES) return { unparsed: `more than ${MAX_VALUES} JSON values` }
  try {
    return { value: JSON.parse(bytes.toString('utf8').replace(/^\uFEFF/, '')) }
  } catch {
    return { unparsed: 'not JSON' }
  }
}

/** A stream of 16 MiB has 160,000 events of a usual size; millions of tiny ones would take seconds to parse. */
const MAX_EVENTS = 250_000

/** The JSON of a stream's events, each bounded and so many at most. */
export class JsonEvents {
  #parsed = 0

  /** Why there is no more to be had, where that is so. */
  get full(): string | undefined {
    return this.#parsed < MAX_EVENTS ? undefined : `more than ${MAX_EVENTS} events`
  }

  /** @returns undefined for what is no JSON, too. */
  parse(bytes: Buffer): unknown {
    if (this.full !== undefined) return undefined
    this.#parsed++
    const parsed = parseBounded(bytes)
    return 'value' in parsed ? parsed.value : undefined
  }
}

/** An upper bound: commas, brackets and braces outside strings. */
function countValues(bytes: Buffer): number {
  let count = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === QUOTE) i = stringEnd(bytes, i + 1)
    else if (byte === 0x2c || byte === 0x5b || byte === 0x7b) count++
  }
  return count
}

/** @returns where the string ends that goes on at `from`: its quote, or the end of all. */
export function stringEnd(bytes: Buffer, from: number): number {
  let quote = bytes.indexOf(QUOTE, from)
  while (quote !== -1) {
    let slashes = 0
    while (quote - 1 - slashes >= from && bytes[quote - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return quote
    quote = bytes.indexOf(QUOTE, quote + 1)
  }
  return bytes.length
}
