/**
 * The strings of a JSON text with their places, so that one can be replaced and every other byte stay as it was sent.
 *
 * Threat model: the text is the agent's. Values and depth are bounded before anything is built from it, since 16 MiB
 * of `[[],[],…` would become hundreds of megabytes of objects.
 */
export interface JsonString {
  /** Index of the opening quote, and behind the closing one. */
  readonly start: number
  readonly end: number
  /** Its escapes undone. */
  readonly value: string
  /** Objects and arrays that it stands in. */
  readonly depth: number
  /** The key of the value that it is, in an object; absent for keys and in arrays. */
  readonly key?: string
}

export interface JsonText {
  readonly value: unknown
  readonly strings: readonly JsonString[]
}

const MAX_VALUES = 500_000
const MAX_DEPTH = 512

/** A JSON text read, or why it can't be. */
export function readJson(text: string): JsonText | { readonly unreadable: string } {
  const strings = stringsOf(text)
  if (typeof strings === 'string') return { unreadable: strings }
  try {
    return { value: JSON.parse(text), strings }
  } catch {
    return { unreadable: 'not JSON' }
  }
}

/** Of a text that may be no JSON at all: then `JSON.parse` says so, or here a string that doesn't end. */
function stringsOf(text: string): JsonString[] | string {
  const strings: JsonString[] = []
  /** Of each container around: the key that waits for its value; null in an array. */
  const keys: (string | undefined | null)[] = []
  let values = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x7b:
      case 0x5b:
        keys.push(text[at] === '[' ? null : undefined)
        if (keys.length > MAX_DEPTH) return `nested deeper than ${MAX_DEPTH}`
        if (++values > MAX_VALUES) return `more than ${MAX_VALUES} values`
        break
      case 0x7d:
      case 0x5d:
        keys.pop()
        break
      case 0x2c:
        if (keys.at(-1) !== null && keys.length > 0) keys[keys.length - 1] = undefined
        if (++values > MAX_VALUES) return `more than ${MAX_VALUES} values`
        break
      case 0x22: {
        const end = stringEnd(text, at)
        const value = end === undefined ? undefined : decoded(text.slice(at, end))
        if (end === undefined || value === undefined) return 'not JSON'
        const key = keys.at(-1)
        const place = { start: at, end, value, depth: keys.length }
        strings.push(typeof key === 'string' ? { ...place, key } : place)
        if (key === undefined && keys.length > 0) keys[keys.length - 1] = value
        at = end - 1
        break
      }
    }
  }
  return strings
}

function stringEnd(text: string, start: number): number | undefined {
  for (let quote = text.indexOf('"', start + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0
    while (text[quote - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 0) return quote + 1
  }
  return undefined
}

function decoded(literal: string): string | undefined {
  if (!literal.includes('\\')) return literal.slice(1, -1)
  try {
    return JSON.parse(literal) as string
  } catch {
    return undefined
  }
}

/** @param replacements in the text's order, of strings of it */
export function withStrings(text: string, replacements: readonly { of: JsonString; by: string }[]): string {
  let made = ''
  let at = 0
  for (const { of, by } of replacements) {
    made += text.slice(at, of.start) + JSON.stringify(by)
    at = of.end
  }
  return made + text.slice(at)
}
