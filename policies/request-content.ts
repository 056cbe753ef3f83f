/** What rules may ask of a body: its models, tools and detectors' matches; and the body with these replaced. */
import { detect, type OwnDetectors } from './detectors/detect.ts'
import { type Match, marker } from './detectors/detector.ts'
import { type JsonString, readJson, withStrings } from './json-strings.ts'
import { toolNames } from './request-tools.ts'

export class BodyContent {
  /** Why it is no JSON; undefined where it is. Empty bodies are neither. */
  readonly notJson: string | undefined
  readonly #text: string
  readonly #strings: readonly JsonString[]
  readonly #value: unknown
  #searched: { readonly text: string; readonly starts: readonly number[] } | undefined
  #tools: ReadonlySet<string> | undefined

  /** @param bytes content coding removed */
  constructor(bytes: Buffer) {
    const text = bytes.toString('utf8')
    this.#text = text.startsWith('\ufeff') ? text.slice(1) : text
    const read = this.empty ? { value: undefined, strings: [] } : readJson(this.#text)
    this.notJson = 'unreadable' in read ? read.unreadable : undefined
    this.#strings = 'unreadable' in read ? [] : read.strings
    this.#value = 'unreadable' in read ? undefined : read.value
  }

  get empty(): boolean {
    return this.#text.length === 0
  }

  /** Each that is named: a key that stands twice may be read either way. */
  models(): ReadonlySet<string> {
    const top = this.#strings.filter(({ depth, key }) => depth === 1 && key?.toLowerCase() === 'model')
    return new Set(top.map(({ value }) => value))
  }

  tools(): ReadonlySet<string> {
    this.#tools ??= toolNames(this.#value)
    return this.#tools
  }

  /** The kinds of what these detectors find, each once. Text that is no JSON is searched as it is. */
  finds(own: OwnDetectors, names: readonly string[]): string[] {
    return [...new Set(this.#matches(own, names).map(({ kind }) => kind))]
  }

  /** The text with what these detectors find replaced, and how much that was. */
  redacted(own: OwnDetectors, names: readonly string[]): { readonly text: string; readonly count: number } {
    const matches = this.#matches(own, names)
    const count = matches.length
    if (count === 0) return { text: this.#text, count }
    if (this.notJson !== undefined) return { text: replaced(this.#text, 0, matches), count }
    const { starts } = this.#search()
    const changed: { of: JsonString; by: string }[] = []
    let next = 0
    for (const [i, of] of this.#strings.entries()) {
      const from = starts[i] as number
      while (next < count && (matches[next] as Match).end <= from) next++
      let last = next
      while (last < count && (matches[last] as Match).start < from + of.value.length) last++
      if (last > next) changed.push({ of, by: replaced(of.value, from, matches.slice(next, last)) })
    }
    return { text: withStrings(this.#text, changed), count }
  }

  #matches(own: OwnDetectors, names: readonly string[]): Match[] {
    return detect(own, names, this.#search().text)
  }

  /** All strings, escapes undone, a line each: so that a key's name stands before its value. */
  #search() {
    if (this.#searched) return this.#searched
    if (this.notJson !== undefined) {
      this.#searched = { text: this.#text, starts: [] }
      return this.#searched
    }
    const starts: number[] = []
    let length = 0
    for (const { value } of this.#strings) {
      starts.push(length)
      length += value.length + 1
    }
    this.#searched = { text: this.#strings.map(({ value }) => value).join('\n'), starts }
    return this.#searched
  }
}

/** @param from where `text` begins in what was searched; a match may reach beyond it */
function replaced(text: string, from: number, matches: readonly Match[]): string {
  let made = ''
  let at = 0
  for (const { start, end, kind } of matches) {
    made += text.slice(at, Math.max(at, start - from)) + marker(kind)
    at = Math.min(text.length, end - from)
  }
  return made + text.slice(at)
}
