/** The history of a log's keys: who may have signed which checkpoint, from any key that a verifier trusts. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import {
  keyFor,
  keyHistory,
  type RecordedSuccession,
  readSuccession,
  type Succession,
  successionText,
} from '../../daemon/ledger/key-history.ts'
import { ed25519Signer, formatNote, type NoteSigner, parseVerifierKey } from '../../daemon/ledger/note.ts'

const origin = 'log.example/one'
const time = '2026-11-26T05:45:00.000Z'
const signer = () => ed25519Signer(origin, randomBytes(32))

function note(succession: Succession, ...signers: NoteSigner[]): string {
  const text = successionText(succession)
  const lines = signers.map((by) => {
    const whole = formatNote(text, parseVerifierKey(by.verifierKey), by.sign(Buffer.from(text)))
    return whole.slice(text.length + 1)
  })
  return `${text}\n${lines.join('')}`
}

const first = (key: NoteSigner) => note({ origin, from: undefined, to: key.verifierKey, time }, key)
const step = (from: NoteSigner, to: NoteSigner) =>
  note({ origin, from: from.verifierKey, to: to.verifierKey, time }, from, to)

const [a, b, c] = [signer(), signer(), signer()]
const log: RecordedSuccession[] = [
  { index: 0n, note: first(a) },
  { index: 10n, note: step(a, b) },
  { index: 20n, note: step(b, c) },
]
const code = (run: () => unknown): unknown => {
  try {
    return run()
  } catch (error) {
    return (error as { code?: string }).code
  }
}

t.test('from any key of the line the whole line is found, backwards and forwards', async (t) => {
  for (const trusted of [a, b, c]) {
    const spans = keyHistory([...log].reverse(), trusted.verifierKey)
    t.same(spans, [
      { verifierKey: a.verifierKey, after: undefined, until: 10n },
      { verifierKey: b.verifierKey, after: 10n, until: 20n },
      { verifierKey: c.verifierKey, after: 20n, until: undefined },
    ])
  }
})

t.test('a key alone speaks for no tree that holds its own end', async (t) => {
  const spans = keyHistory(log, c.verifierKey)
  const at = (size: bigint) => keyFor(spans, size)?.verifierKey
  t.equal(at(0n), a.verifierKey)
  t.equal(at(10n), a.verifierKey, 'ten leaves: the record of its end, leaf 10, is not among them')
  t.equal(at(11n), b.verifierKey)
  t.equal(at(20n), b.verifierKey)
  t.equal(at(1_000_000n), c.verifierKey)
})

t.test('a log whose keys no record names has the one key that is trusted', async (t) => {
  t.same(keyHistory([], a.verifierKey), [{ verifierKey: a.verifierKey, after: undefined, until: undefined }])
})

t.test('a log from before its keys were recorded begins with the key that ended first', async (t) => {
  t.same(
    keyHistory(log.slice(1), a.verifierKey).map(({ verifierKey }) => verifierKey),
    [a, b, c].map(({ verifierKey }) => verifierKey),
  )
})

t.test('what is not signed by both keys is refused', async (t) => {
  const text = { origin, from: a.verifierKey, to: b.verifierKey, time }
  t.equal(
    code(() => readSuccession(note(text, a))),
    'UNKNOWN_KEY',
  )
  t.equal(
    code(() => readSuccession(note(text, b))),
    'UNKNOWN_KEY',
  )
  t.equal(
    code(() => readSuccession(note(text, c))),
    'UNKNOWN_KEY',
  )
  const whole = step(a, b)
  t.equal(
    code(() => readSuccession(whole.replace(time, '2026-11-27T05:45:00.000Z'))),
    'BAD_SIGNATURE',
  )
  t.equal(
    code(() => readSuccession(whole.replace('v1', 'v2'))),
    'MALFORMED_NOTE',
  )
  t.equal(
    code(() => readSuccession('')),
    'MALFORMED_NOTE',
  )
  const foreign = ed25519Signer('log.example/two', randomBytes(32))
  t.equal(
    code(() => readSuccession(note({ ...text, to: foreign.verifierKey }, a, foreign))),
    'MALFORMED_NOTE',
  )
  t.equal(
    code(() => readSuccession(step(a, a))),
    'MALFORMED_NOTE',
  )
})

t.test('a retired key that names a second successor breaks the history, and proves nothing', async (t) => {
  const thief = signer()
  const forged = { index: 30n, note: step(a, thief) }
  t.equal(
    code(() => keyHistory([...log, forged], c.verifierKey)),
    'KEY_HISTORY',
  )
  t.equal(
    code(() => keyHistory([...log, { index: 30n, note: step(c, a) }], c.verifierKey)),
    'KEY_HISTORY',
  )
  t.equal(
    code(() => keyHistory([...log, { index: 30n, note: first(thief) }], c.verifierKey)),
    'KEY_HISTORY',
  )
  t.equal(
    code(() => keyHistory(log, thief.verifierKey)),
    'KEY_HISTORY',
  )
})
