/** What rules may ask of a body: its models, tools and detectors' matches; and the body with these replaced. */
import { detect, type OwnDetectors } from './detectors/detect.ts'
import type { Match } from './detectors/detector.ts'
import { JoinedText } from './joined-text.ts'
import { type JsonString, readJson, withStrings } from './json-strings.ts'
import { type Replacement, replaced } from './replacements.ts'
import { toolNames } from './request-tools.ts'

/** Where OpenAI's and Google's events have what a session or a response is asked for. */
const SESSIONS = new Set(['.session', '.response', '.setup'])

export class BodyContent {
  /** Why it is no JSON; undefined where it is. Empty bodies are neither. */
  readonly notJson: string | undefined
  readonly #text: string
  readonly #strings: readonly JsonString[]
  readonly #value: unknown
  #searched: JoinedText | undefined
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
    const named = this.#strings.filter(
      ({ depth, key, within }) =>
        key?.toLowerCase() === 'model' && (depth === 1 || (depth === 2 && SESSIONS.has(within?.path ?? ''))),
    )
    return new Set(named.map(({ value }) => value.replace(/^models\//, '')))
  }

  tools(): ReadonlySet<string> {
    this.#tools ??= toolNames(this.#value)
    return this.#tools
  }

  /** The kinds of what these detectors find, each once. Text that is no JSON is searched as it is. */
  finds(own: OwnDetectors, names: readonly string[]): string[] {
    return [...new Set(this.#matches(own, names).map(({ kind }) => kind))]
  }

  /** The text with what these detectors find replaced, how much that was, and of which kinds. */
  redacted(
    own: OwnDetectors,
    names: readonly string[],
  ): { readonly text: string; readonly count: number; readonly found: readonly string[] } {
    const matches = this.#matches(own, names)
    const count = matches.length
    const found = [...new Set(matches.map(({ kind }) => kind))]
    if (count === 0) return { text: this.#text, count, found }
    const replacements: Replacement[][] = []
    for (const [match, one] of matches.entries()) {
      for (const { at, start, end } of this.#search().partsOf(one)) {
        replacements[at] ??= []
        // Each string has the marker: who reads it alone sees that something was there.
        replacements[at].push({ start, end, kind: one.kind, match })
      }
    }
    const counted = new Set<number>()
    if (this.notJson !== undefined) {
      return { text: replaced(this.#text, replacements[0] ?? [], counted), count, found }
    }
    const changed = this.#strings.flatMap((of, at) => {
      const those = replacements[at]
      return those === undefined ? [] : [{ of, by: replaced(of.value, those, counted) }]
    })
    return { text: withStrings(this.#text, changed), count, found }
  }

  #matches(own: OwnDetectors, names: readonly string[]): Match[] {
    return detect(own, names, this.#search().text)
  }

  /** All strings, escapes undone, a line each: so that a key's name stands before its value. */
  #search(): JoinedText {
    this.#searched ??= new JoinedText(
      this.notJson === undefined ? this.#strings.map(({ value }) => value) : [this.#text],
      '\n',
    )
    return this.#searched
  }
}
