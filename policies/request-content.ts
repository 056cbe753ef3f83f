/** What rules may ask of a body: its models, tools and detectors' matches; and the body with these replaced. */
import { detect, type OwnDetectors } from './detectors/detect.ts'
import type { Match } from './detectors/detector.ts'
import { JoinedText } from './joined-text.ts'
import { type JsonText, keepingEachKey, readJson, withStrings } from './json-strings.ts'
import { type Replacement, replaced } from './replacements.ts'
import { toolNames } from './request-tools.ts'
import { wideJson, withoutMark } from './wide-json.ts'

const NOTHING: JsonText = { value: undefined, strings: [] }

/**
 * What a model is named in: the body; what a session or a response is asked for, in OpenAI's and Google's events; each
 * request of a batch, Anthropic's and Google's.
 */
const ASKED_IN = new Set(['', '.session', '.response', '.setup', '.requests.*', '.requests.*.params'])
/** OpenRouter's models to fall back to. */
const MODELS = '.models'

/** A text's escapes undone, wherever they stand: some servers take as JSON what our parser does not (`NaN`). */
const unescaped = (text: string): string =>
  text.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_, hex?: string, other = '') =>
    hex === undefined ? (other === 'n' ? '\n' : other) : String.fromCharCode(Number.parseInt(hex, 16)),
  )

export class BodyContent {
  /** Why it is no JSON; undefined where it is. Empty bodies are neither. */
  readonly notJson: string | undefined
  /** JSON in UTF-16 or UTF-32, which some servers take; as text it can't be found anything in. */
  readonly isWide: boolean
  readonly #text: string
  readonly #json: JsonText
  #searched: JoinedText | undefined
  /** By the detectors' names, of the one policy that it is asked for. */
  readonly #found = new Map<string, readonly Match[]>()
  #tools: ReadonlySet<string> | undefined

  /** @param bytes content coding removed */
  constructor(bytes: Buffer) {
    const wide = wideJson(bytes)
    this.isWide = wide !== undefined
    this.#text = wide?.text ?? withoutMark(bytes.toString('utf8'))
    const read = wide?.json ?? (this.empty ? NOTHING : readJson(this.#text))
    this.notJson = 'unreadable' in read ? read.unreadable : undefined
    this.#json = 'unreadable' in read ? NOTHING : read
  }

  get empty(): boolean {
    return this.#text.length === 0
  }

  /** Each that is named: a key that stands twice may be read either way. */
  models(): ReadonlySet<string> {
    const named = this.#json.strings.filter(({ isKey, key, within }) => {
      if (within === undefined || isKey) return false
      const path = within.path.toLowerCase()
      return within.isArray ? path === MODELS : key?.toLowerCase() === 'model' && ASKED_IN.has(path)
    })
    return new Set(named.map(({ value }) => value.trim().replace(/^models\//, '')))
  }

  tools(): ReadonlySet<string> {
    this.#tools ??= toolNames(keepingEachKey(this.#json, this.#text))
    return this.#tools
  }

  /** The kinds of what these detectors find, each once. Text that is no JSON is searched as it is. */
  finds(own: OwnDetectors, names: readonly string[]): string[] {
    const found = this.#matches(own, names)
    const hidden =
      this.notJson !== undefined && this.#text.includes('\\') ? detect(own, names, unescaped(this.#text)) : []
    return [...new Set([...found, ...hidden].map(({ kind }) => kind))]
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
    const changed = this.#json.strings.flatMap((of, at) => {
      const those = replacements[at]
      return those === undefined ? [] : [{ of, by: replaced(of.value, those, counted) }]
    })
    return { text: withStrings(this.#text, changed), count, found }
  }

  /** Found once for the condition, its message and the replacement: a long body takes a while. */
  #matches(own: OwnDetectors, names: readonly string[]): readonly Match[] {
    const key = names.join(' ')
    const known = this.#found.get(key) ?? detect(own, names, this.#search().text)
    this.#found.set(key, known)
    return known
  }

  /** All strings, escapes undone, a line each: so that a key's name stands before its value. */
  #search(): JoinedText {
    this.#searched ??= new JoinedText(
      this.notJson === undefined ? this.#json.strings.map(({ value }) => value) : [this.#text],
      '\n',
    )
    return this.#searched
  }
}
