/**
 * The texts of a stream, event by event, with what detectors find replaced: in each event, and in what streams spread
 * over events. Models stream a few characters an event, so a key comes in ten pieces that say nothing each.
 *
 * Which strings go on in one another is told by where they stand, and not by the wire style: pieces of one text have
 * the same place in each event. That is taken in several ways, since there may be several texts at one place (choices,
 * tools called at once), and a match in any of them counts.
 */
import { detect, type OwnDetectors } from './detectors/detect.ts'
import { JoinedText, type MatchPart } from './joined-text.ts'
import { type JsonString, lexJson, withStrings } from './json-strings.ts'
import { type Replacement, replaced } from './replacements.ts'

export interface StreamText {
  readonly text: string
  /** What of the framing it is: only texts of one kind go on in one another. */
  readonly kind: string
}

export interface RedactedStream {
  /** One for each text given; the same where nothing was found. */
  readonly texts: readonly string[]
  readonly count: number
  /** Each kind of what was found once. */
  readonly found: readonly string[]
}

/** A string of one text, or all of it where that isn't JSON. */
interface Unit {
  /** Index of the text. */
  readonly at: number
  readonly kind: string
  readonly value: string
  readonly of: JsonString | undefined
}

const MAX_TEXTS = 250_000
const MAX_UNITS = 500_000
const MAX_MATCHES = 100_000

const isValue = ({ of }: Unit): boolean => of?.isKey !== true
const place = ({ of }: Unit): string => `${of?.within?.path ?? ''}.${of?.key ?? '*'}`
const exact = ({ of }: Unit): string => `${of?.within?.exact ?? ''}.${of?.key ?? of?.within?.elements ?? ''}`

/** By what strings may belong together. */
const THREADS: readonly ((unit: Unit) => string)[] = [
  place,
  (unit) => `${place(unit)} ${marksOf(unit.of)}`,
  exact,
  // A text may begin in an event of another form than those it goes on in.
  ({ of }) => of?.key ?? '',
]

function marksOf(of: JsonString | undefined): string {
  let marks = ''
  for (let within = of?.within; within; within = within.parent) marks = within.marks + marks
  return marks
}

export function redactedStream(
  texts: readonly StreamText[],
  own: OwnDetectors,
  names: readonly string[],
): RedactedStream | { readonly unreadable: string } {
  if (texts.length > MAX_TEXTS) return { unreadable: `more than ${MAX_TEXTS} events` }
  const search = new Search(own, names)
  const values: Unit[] = []
  for (const [at, text] of texts.entries()) {
    const units = unitsOf(at, text)
    if (units === undefined) return { unreadable: 'an event that is too much JSON' }
    for (const unit of units) if (isValue(unit)) values.push(unit)
    if (values.length > MAX_UNITS) return { unreadable: `more than ${MAX_UNITS} values` }
  }
  for (const threadOf of THREADS) search.threads(values, threadOf)
  // Read a second time rather than kept: keys are half of all strings.
  for (const [at, text] of texts.entries()) search.event(unitsOf(at, text) ?? [])
  if (search.matches > MAX_MATCHES) return { unreadable: `more than ${MAX_MATCHES} matches` }
  return search.redacted(texts)
}

/** @returns undefined where there is too much in it */
function unitsOf(at: number, { text, kind }: StreamText): Unit[] | undefined {
  const lexed = lexJson(text)
  if ('unreadable' in lexed) return undefined
  if (!lexed.likeJson) return [{ at, kind, value: text, of: undefined }]
  return lexed.strings.map((of) => ({ at, kind, value: of.value, of }))
}

class Search {
  readonly #own: OwnDetectors
  readonly #names: readonly string[]
  /** By the text's index, then by where in it the unit begins. */
  readonly #found = new Map<number, Map<number, { unit: Unit; replacements: Replacement[] }>>()
  matches = 0
  readonly #kinds = new Map<number, string>()
  /** Threads that were searched already, by another way to tell them. */
  readonly #searched = new Set<string>()

  constructor(own: OwnDetectors, names: readonly string[]) {
    this.#own = own
    this.#names = names
  }

  threads(values: readonly Unit[], threadOf: (unit: Unit) => string): void {
    const threads = new Map<string, Unit[]>()
    for (const unit of values) {
      const key = `${unit.kind} ${threadOf(unit)}`
      const thread = threads.get(key)
      if (thread) thread.push(unit)
      else threads.set(key, [unit])
    }
    for (const thread of threads.values()) {
      const [first, ...others] = thread as [Unit, ...Unit[]]
      // An id that stands in each event is no text that goes on.
      if (others.every(({ value }) => value === first.value)) continue
      const joined = new JoinedText(
        thread.map(({ value }) => value),
        '',
      )
      if (this.#isNew(thread, joined.text)) this.#search(thread, joined)
    }
  }

  event(units: readonly Unit[]): void {
    // A key's name stands before its value.
    const joined = new JoinedText(
      units.map(({ value }) => value),
      '\n',
    )
    this.#search(units, joined, true)
  }

  redacted(texts: readonly StreamText[]): RedactedStream {
    const counted = new Set<number>()
    const made = texts.map(({ text }, at) => {
      const units = this.#found.get(at)
      if (units === undefined) return text
      const changed = [...units.values()].map(({ unit, replacements }) => ({
        of: unit.of,
        by: replaced(unit.value, replacements, counted),
      }))
      if (changed[0]?.of === undefined) return changed[0]?.by ?? text
      changed.sort((a, b) => a.of!.start - b.of!.start)
      return withStrings(text, changed as { of: JsonString; by: string }[])
    })
    const found = new Set([...counted].map((match) => this.#kinds.get(match) as string))
    return { texts: made, count: counted.size, found: [...found] }
  }

  #isNew(thread: readonly Unit[], text: string): boolean {
    let members = 0
    for (const { at, of } of thread) members = (members * 31 + at * 7919 + (of?.start ?? 0)) % 2 ** 40
    const key = `${members} ${thread.length} ${text.length}`
    if (this.#searched.has(key)) return false
    this.#searched.add(key)
    return true
  }

  /** @param again what begins within a match of the same kind is not a new one: its end stands in another event */
  #search(units: readonly Unit[], joined: JoinedText, again = false): void {
    for (const match of detect(this.#own, this.#names, joined.text)) {
      if (this.matches > MAX_MATCHES) return
      const parts = [...joined.partsOf(match)]
      if (again && parts.length > 1 && this.#isPartOf(match.kind, units, parts[0])) continue
      const number = this.matches++
      this.#kinds.set(number, match.kind)
      let kind: string | undefined = match.kind
      for (const { at, start, end } of parts) {
        this.#replacementsOf(units[at] as Unit).push({ start, end, kind, match: number })
        kind = undefined
      }
    }
  }

  #isPartOf(kind: string, units: readonly Unit[], part: MatchPart | undefined): boolean {
    const { at, of } = part ? (units[part.at] as Unit) : {}
    const known = at === undefined ? undefined : this.#found.get(at)?.get(of?.start ?? 0)
    if (part === undefined || known === undefined) return false
    return known.replacements.some(
      ({ start, end, match }) => start <= part.start && part.start < end && this.#kinds.get(match) === kind,
    )
  }

  #replacementsOf(unit: Unit): Replacement[] {
    const units = this.#found.get(unit.at) ?? new Map()
    this.#found.set(unit.at, units)
    const key = unit.of?.start ?? 0
    const known = units.get(key) ?? { unit, replacements: [] }
    units.set(key, known)
    return known.replacements
  }
}
