/**
 * The strings of a JSON text with their places, so that one can be replaced and every other byte stay as it was sent.
 *
 * Threat model: the text is the agent's, or a provider's. Values and depth are bounded before anything is built from
 * it, since 16 MiB of `[[],[],…` would become hundreds of megabytes of objects.
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
  readonly isKey?: true
  /** What it stands in; absent where the text is this string alone. */
  readonly within: Container | undefined
  /** The text ends within it. */
  readonly open?: true
}

/** An object or array that a string stands in. */
export interface Container {
  readonly parent: Container | undefined
  /** Keys from the top on, `*` for an array's element. */
  readonly path: string
  /** The same with the elements' numbers. */
  readonly exact: string
  readonly isArray: boolean
  /** The key that waits for its value. */
  key: string | undefined
  /** Elements before this one, in an array. */
  elements: number
  /** What tells streamed texts of one place apart (`index=1;`), in the order met. */
  marks: string
}

export interface JsonText {
  readonly value: unknown
  readonly strings: readonly JsonString[]
}

export interface Lexed {
  readonly strings: readonly JsonString[]
  /** Outside of strings only what JSON has there: the text is JSON, or the beginning of some. */
  readonly likeJson: boolean
}

const MAX_VALUES = 500_000
const MAX_DEPTH = 512
const MARK = /\s*:\s*(-?\d{1,15}|"[^"\\]{0,128}")/y
/** Members by which streams say which of several texts a piece belongs to. */
const MARKS = new Set([
  'index',
  'output_index',
  'content_index',
  'summary_index',
  'contentBlockIndex',
  'item_id',
])
/** White space, separators, numbers, and the letters of true, false and null. */
const OUTSIDE = new Set([...' \t\r\n\ufeff,:+-.0123456789Eaeflnrstu'].map((one) => one.charCodeAt(0)))

/** A JSON text read, or why it can't be. */
export function readJson(text: string): JsonText | { readonly unreadable: string } {
  const lexed = lexJson(text)
  if ('unreadable' in lexed) return lexed
  try {
    return { value: JSON.parse(text), strings: lexed.strings }
  } catch {
    return { unreadable: 'not JSON' }
  }
}

const TWICE = '\u0000'

/** The key without what tells it from one before it ({@link keepingEachKey}). */
export const asSent = (key: string): string => key.split(TWICE, 1)[0] as string

/** The value of a JSON text in which no key took another's place: a server may read either. */
export function keepingEachKey({ value, strings }: JsonText, text: string): unknown {
  const seen = new Map<Container, Set<string>>()
  const again: { of: JsonString; by: string }[] = []
  for (const of of strings) {
    if (!of.isKey || of.within === undefined) continue
    const keys = seen.get(of.within) ?? new Set()
    seen.set(of.within, keys)
    if (keys.has(of.value)) again.push({ of, by: `${of.value}${TWICE}${again.length}` })
    keys.add(of.value)
  }
  return again.length === 0 ? value : JSON.parse(withStrings(text, again))
}

/** The strings of a text that may be cut off, or no JSON at all. */
export function lexJson(text: string): Lexed | { readonly unreadable: string } {
  const strings: JsonString[] = []
  let within: Container | undefined
  let depth = 0
  let values = 0
  let likeJson = true
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    switch (code) {
      case 0x7b:
      case 0x5b:
        within = inside(within, code === 0x5b)
        if (++depth > MAX_DEPTH) return { unreadable: `nested deeper than ${MAX_DEPTH}` }
        if (++values > MAX_VALUES) return { unreadable: `more than ${MAX_VALUES} values` }
        break
      case 0x7d:
      case 0x5d:
        within = within?.parent
        depth = Math.max(0, depth - 1)
        break
      case 0x2c:
        if (within) {
          within.key = undefined
          within.elements++
        }
        if (++values > MAX_VALUES) return { unreadable: `more than ${MAX_VALUES} values` }
        break
      case 0x22: {
        const found = stringAt(text, at)
        if (found === undefined) return { strings, likeJson: false }
        const place = { ...found, depth, within }
        if (within === undefined || within.isArray) strings.push(place)
        else if (within.key !== undefined) strings.push({ ...place, key: within.key })
        else {
          strings.push({ ...place, isKey: true })
          within.key = found.value
          if (MARKS.has(found.value)) mark(within, text, found)
        }
        at = found.end - 1
        break
      }
      default:
        likeJson &&= OUTSIDE.has(code)
    }
  }
  return { strings, likeJson }
}

function inside(parent: Container | undefined, isArray: boolean): Container {
  const isElement = parent === undefined || parent.isArray
  const step = parent === undefined ? '' : `${parent.path}.${isElement ? '*' : parent.key}`
  const exact = parent === undefined ? '' : `${parent.exact}.${isElement ? parent.elements : parent.key}`
  return { parent, path: step, exact, isArray, key: undefined, elements: 0, marks: '' }
}

function mark(within: Container, text: string, key: { end: number; value: string }): void {
  MARK.lastIndex = key.end
  const value = MARK.exec(text)?.[1]
  if (value !== undefined) within.marks += `${key.value}=${value};`
}

type Found = Pick<JsonString, 'start' | 'end' | 'value' | 'open'>

/** @returns undefined where its escapes are no JSON's */
function stringAt(text: string, start: number): Found | undefined {
  const end = stringEnd(text, start)
  if (end !== undefined) {
    const value = decoded(text.slice(start, end))
    return value === undefined ? undefined : { start, end, value }
  }
  // Cut off, perhaps within an escape.
  const literal = text.slice(start)
  const value = decoded(`${literal}"`) ?? decoded(`${literal.replace(/\\(?:u[0-9a-fA-F]{0,3})?$/, '')}"`)
  return value === undefined ? undefined : { start, end: text.length, value, open: true }
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
    made += text.slice(at, of.start) + JSON.stringify(by).slice(0, of.open ? -1 : undefined)
    at = of.end
  }
  return made + text.slice(at)
}
