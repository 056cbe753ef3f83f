/**
 * Which key spoke for the log when: each key names its successor in a record of the log itself, a note that both
 * signed. Whoever trusts one key finds the others from there, forwards and backwards.
 *
 * Threat model: a key that was retired may be in anybody's hands by now. So a succession counts only by the leaf that
 * holds it (whose inclusion the caller proves), and a key alone speaks for no tree that holds its own end.
 */
import { equal } from '#platform'
import { LedgerError } from './errors.ts'
import { parseVerifierKey, verifyNote } from './note.ts'

const TITLE = 'agent-anchor key succession v1'
/** In the place of a predecessor, in the record of a log's first key. */
const NONE = '-'

export interface Succession {
  readonly origin: string
  /** Verifier key that ends; undefined for the log's first. */
  readonly from: string | undefined
  /** Verifier key that begins. */
  readonly to: string
  /** RFC 3339, as whoever made it says. */
  readonly time: string
}

/** The text that both keys sign, its final newline included. */
export function successionText({ origin, from, to, time }: Succession): string {
  return `${TITLE}\n${origin}\n${from ?? NONE}\n${to}\n${time}\n`
}

/**
 * Reads a succession and verifies it under the keys that it names itself: it proves that both of them agreed, and
 * nothing about whose they are.
 * @throws LedgerError MALFORMED_NOTE, MALFORMED_KEY, BAD_SIGNATURE, UNKNOWN_KEY
 */
export function readSuccession(note: string): Succession {
  const lines = note.slice(0, note.lastIndexOf('\n\n') + 1).split('\n')
  const [title, origin, from, to, time] = lines
  if (lines.length !== 6 || title !== TITLE || !origin || !from || !to || !time) throw malformed()
  const keys = from === NONE ? [to] : [from, to]
  if (keys.some((key) => parseVerifierKey(key).name !== origin) || new Set(keys).size !== keys.length)
    throw malformed()
  const { signatures } = verifyNote(note, keys)
  for (const key of keys) {
    const { id } = parseVerifierKey(key)
    if (!signatures.some((signature) => equal(signature.id, id))) throw unsigned(key)
  }
  return { origin, from: from === NONE ? undefined : from, to, time }
}

/** A succession where it stands in the log. */
export interface RecordedSuccession {
  /** The leaf that holds it. */
  readonly index: bigint
  readonly note: string
}

/** A key and the trees that it speaks for. */
export interface KeySpan {
  readonly verifierKey: string
  /** It speaks for trees of more leaves than this; undefined: from the first on. */
  readonly after: bigint | undefined
  /** Alone it speaks for trees of so many leaves at most; undefined: it has no successor here. */
  readonly until: bigint | undefined
}

/**
 * The keys of a log in their order, from one that is trusted.
 * @param recorded what the log holds, in any order; the caller has proved that each note is in the leaf of its index
 * @throws LedgerError KEY_HISTORY where they make no single line through the trusted key; what readSuccession throws
 */
export function keyHistory(recorded: readonly RecordedSuccession[], trusted: string): KeySpan[] {
  const steps = recorded
    .map(({ index, note }) => ({ index, ...readSuccession(note) }))
    .sort((a, b) => (a.index < b.index ? -1 : 1))
  const spans: KeySpan[] = []
  for (const [at, { from, to, index }] of steps.entries()) {
    const before = spans.at(-1)
    if (from === undefined) {
      // Said again of the key in force it changes nothing.
      if (before?.verifierKey === to) continue
      if (at > 0) throw broken(`leaf ${index} names a first key, after another`)
      spans.push({ verifierKey: to, after: undefined, until: undefined })
      continue
    }
    if (before !== undefined && before.verifierKey !== from)
      throw broken(`leaf ${index} ends a key that was not in force`)
    if (before !== undefined) spans.pop()
    spans.push({ verifierKey: from, after: before?.after, until: index })
    spans.push({ verifierKey: to, after: index, until: undefined })
  }
  if (steps.length === 0) return [{ verifierKey: trusted, after: undefined, until: undefined }]
  const keys = spans.map(({ verifierKey }) => verifierKey)
  if (new Set(keys).size !== keys.length) throw broken('a key comes back that had ended')
  if (!keys.includes(trusted)) throw broken('the key that you trust is none of its keys')
  return spans
}

/** The key that must have signed a checkpoint of this size. */
export function keyFor(spans: readonly KeySpan[], size: bigint): KeySpan | undefined {
  return spans.find(
    ({ after, until }) => (after === undefined || size > after) && (until === undefined || size <= until),
  )
}

const malformed = () =>
  new LedgerError(
    'MALFORMED_NOTE',
    'not a key succession: a title, the origin, two verifier keys and a time',
    'Get the record again from the log; it was altered or is of another format.',
  )

const unsigned = (key: string) =>
  new LedgerError(
    'UNKNOWN_KEY',
    `the succession is not signed by ${key}, which it names`,
    'Do not follow it: a key ends only by its own signature and begins only by its own.',
  )

const broken = (why: string) =>
  new LedgerError(
    'KEY_HISTORY',
    `the records of the log's keys make no history: ${why}`,
    'Do not trust this log: compare it with an earlier copy, and with what stands on a chain.',
  )
