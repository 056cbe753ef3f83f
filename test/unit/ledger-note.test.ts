import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import {
  formatCheckpoint,
  parseCheckpoint,
  parseSignedCheckpoint,
  verifyCheckpoint,
} from '../../daemon/ledger/checkpoint.ts'
import { decodeUtf8 } from '../../daemon/ledger/encoding.ts'
import { LedgerError } from '../../daemon/ledger/errors.ts'
import { EMPTY_ROOT, leafHash } from '../../daemon/ledger/merkle.ts'
import {
  ed25519Signer,
  formatNote,
  formatVerifierKey,
  parseVerifierKey,
  verifyNote,
} from '../../daemon/ledger/note.ts'

// The example of golang.org/x/mod/sumdb/note, which C2SP's format comes from.
const PETER = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const TEXT =
  'If you think cryptography is the answer to your problem,\nthen you don’t know what your problem is.\n'.replace(
    '’',
    "'",
  )
const PETER_LINE =
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n'

const alice = ed25519Signer('alice.example/log', Buffer.alloc(32, 1))
const bob = ed25519Signer('bob.example/log', Buffer.alloc(32, 2))
const noteOf = (text: string, ...signers: (typeof alice)[]) =>
  `${text}\n${signers.map((s) => formatNote(text, parseVerifierKey(s.verifierKey), s.sign(Buffer.from(text))).slice(text.length + 1)).join('')}`

t.test("verifies another implementation's note", async (t) => {
  const { text, signatures } = verifyNote(`${TEXT}\n${PETER_LINE}`, [PETER])
  t.equal(text, TEXT)
  t.equal(signatures[0]?.name, 'PeterNeumann')
})

t.test('writes and reads verifier keys', async (t) => {
  const key = parseVerifierKey(PETER)
  t.equal(key.name, 'PeterNeumann')
  t.equal(key.id.toString('hex'), 'c74f20a3')
  t.equal(formatVerifierKey(key.name, key.publicKey), PETER)
  const { privateKey } = generateKeyPairSync('ed25519')
  const made = ed25519Signer('log.example', privateKey)
  verifyNote(noteOf('text\n', made), [made.verifierKey])
})

t.test('refuses verifier keys that are not exactly one', async (t) => {
  const [name, id, key] = PETER.split('+') as [string, string, string]
  for (const bad of [
    '',
    PETER.slice(0, -1),
    `${PETER}\n`,
    `${name}+${id.toUpperCase()}+${key}`,
    `${name}x+${id}+${key}`,
    `${name}+00000000+${key}`,
    `Peter Neumann+${id}+${key}`,
    `+${id}+${key}`,
    `${name}+${id}+${key.replace('A', 'B')}`,
    `${name}+${id}+${Buffer.concat([Buffer.of(4), Buffer.alloc(32)]).toString('base64')}`,
  ]) {
    t.throws(() => parseVerifierKey(bad), { code: 'MALFORMED_KEY' }, JSON.stringify(bad))
  }
  t.throws(() => formatVerifierKey('a b', Buffer.alloc(32)), { code: 'MALFORMED_KEY' })
  t.throws(() => formatVerifierKey('a', Buffer.alloc(31)), { code: 'MALFORMED_KEY' })
  const { privateKey } = generateKeyPairSync('x25519')
  t.throws(() => ed25519Signer('a', privateKey), { code: 'MALFORMED_KEY' })
})

t.test('ignores unknown keys, up to sixteen signatures and more', async (t) => {
  const others = Array.from({ length: 20 }, (_, i) =>
    ed25519Signer(`witness${i}.example`, Buffer.alloc(32, 50 + i)),
  )
  const { signatures } = verifyNote(noteOf('text\n', ...others, alice), [alice.verifierKey])
  t.same(
    signatures.map(({ name }) => name),
    ['alice.example/log'],
  )
  t.throws(() => verifyNote(noteOf('text\n', ...others), [alice.verifierKey]), { code: 'UNKNOWN_KEY' })
  t.equal(verifyNote(noteOf('text\n', alice, bob), [alice.verifierKey, bob.verifierKey]).signatures.length, 2)
})

t.test('a bad signature of a known key refuses the note, a good one beside it or not', async (t) => {
  const forged = formatNote('text\n', parseVerifierKey(bob.verifierKey), alice.sign(Buffer.from('text\n')))
  const note = `${noteOf('text\n', alice)}${forged.slice('text\n\n'.length)}`
  t.throws(() => verifyNote(note, [alice.verifierKey, bob.verifierKey]), { code: 'BAD_SIGNATURE' })
  t.throws(() => verifyNote(forged, [bob.verifierKey]), { code: 'BAD_SIGNATURE' })
  verifyNote(note, [alice.verifierKey])
  const short = formatNote('text\n', parseVerifierKey(bob.verifierKey), Buffer.alloc(63))
  t.throws(() => verifyNote(short, [bob.verifierKey]), { code: 'BAD_SIGNATURE' })
})

t.test('splits at the last blank line', async (t) => {
  const text = 'first\n\nsecond\n'
  t.equal(verifyNote(noteOf(text, alice), [alice.verifierKey]).text, text)
})

t.test('refuses what is not exactly a note', async (t) => {
  const good = noteOf('text\n', alice)
  const line = good.slice('text\n\n'.length)
  const base64 = line.split(' ')[2]!.trim()
  for (const bad of [
    '',
    'text\n',
    'text\n\n',
    good.slice(0, -1),
    `${good}\n`,
    `${good}trailing\n`,
    good.replace('—', '-'),
    good.replace('text', 'te\txt'),
    good.replace('text', 'te\rxt'),
    good.replace('text', 'te\u0000xt'),
    good.replace('text', 'te\ud800xt'),
    good.replace(base64, base64.replace(/=+$/, '')),
    good.replace(base64, 'AAAA'),
    good.replace(base64, '!!!!'),
    `text\n\n— a+b ${base64}\n`,
    `text\n\n—  ${base64}\n`,
    `text\n\n— a\u00a0b ${base64}\n`,
    `text\n\n${line.repeat(101)}`,
    `${'x'.repeat(1_000_001)}\n\n${line}`,
  ]) {
    t.throws(
      () => verifyNote(bad, [alice.verifierKey]),
      { code: 'MALFORMED_NOTE' },
      JSON.stringify(bad.slice(0, 60)),
    )
  }
})

const CHECKPOINT = { origin: 'alice.example/log', size: 5n, root: leafHash(Buffer.from('x')) }

t.test('writes and reads checkpoints', async (t) => {
  const text = formatCheckpoint(CHECKPOINT)
  t.equal(text, `alice.example/log\n5\n${CHECKPOINT.root.toString('base64')}\n`)
  t.same(parseCheckpoint(text), CHECKPOINT)
  const note = noteOf(text, alice)
  t.same(verifyCheckpoint(note, alice.verifierKey), { ...CHECKPOINT, note })
  t.same(parseSignedCheckpoint(note), { ...CHECKPOINT, note })
})

t.test('refuses what is not exactly a checkpoint', async (t) => {
  const root = CHECKPOINT.root.toString('base64')
  for (const bad of [
    '',
    `\n5\n${root}\n`,
    `o\n05\n${root}\n`,
    `o\n+5\n${root}\n`,
    `o\n-5\n${root}\n`,
    `o\n\n${root}\n`,
    `o\n5\n${root}`,
    `o\n5\n${root}\n\nextension\n`,
    `o\n5\n${root}\nextension`,
    `o\n5\n${root}\n\n`,
    `o\n5\n${root.slice(0, -1)}\n`,
    `o\n5\n${Buffer.alloc(31).toString('base64')}\n`,
    `o\n9223372036854775808\n${root}\n`,
    `o\n${'9'.repeat(100)}\n${root}\n`,
    `o\n0\n${root}\n`,
    // The last sextet before the padding has two bits that mean nothing: they must be zero.
    `o\n5\n${root.slice(0, 42)}${root[42] === 'B' ? 'C' : 'B'}=\n`,
  ]) {
    t.throws(() => parseCheckpoint(bad), { code: 'MALFORMED_CHECKPOINT' }, JSON.stringify(bad))
  }
  t.equal(parseCheckpoint(`o\n0\n${EMPTY_ROOT.toString('base64')}\n`).size, 0n)
})

t.test("reads another log's extension lines, which change nothing", async (t) => {
  const text = `${formatCheckpoint(CHECKPOINT)}one\ntwo\n`
  const note = noteOf(text, alice)
  t.same(verifyCheckpoint(note, alice.verifierKey), { ...CHECKPOINT, note })
  t.throws(() => verifyCheckpoint(note.replace('two', 'too'), alice.verifierKey), { code: 'BAD_SIGNATURE' })
})

t.test('counts a key that signed twice once, and refuses its second signature where it is bad', async (t) => {
  const note = noteOf('text\n', alice, alice)
  t.equal(verifyNote(note, [alice.verifierKey]).signatures.length, 1)
  const forged = formatNote('text\n', parseVerifierKey(alice.verifierKey), bob.sign(Buffer.from('text\n')))
  const bad = `${noteOf('text\n', alice)}${forged.slice('text\n\n'.length)}`
  t.throws(() => verifyNote(bad, [alice.verifierKey]), { code: 'BAD_SIGNATURE' })
})

t.test("refuses a checkpoint of one origin under another's key", async (t) => {
  t.throws(() => verifyCheckpoint(noteOf(formatCheckpoint(CHECKPOINT), bob), bob.verifierKey), {
    code: 'WRONG_ORIGIN',
  })
})

t.test('refuses a checkpoint with any byte flipped', async (t) => {
  const bytes = Buffer.from(noteOf(formatCheckpoint(CHECKPOINT), alice))
  for (const [i, byte] of bytes.entries()) {
    for (const bit of [1, 32, 128]) {
      const altered = Buffer.from(bytes)
      altered[i] = byte ^ bit
      t.throws(() => verifyCheckpoint(decodeUtf8(altered), alice.verifierKey), LedgerError)
    }
  }
})

t.test('no text makes it fail otherwise than by a LedgerError', async () => {
  const note = noteOf(formatCheckpoint(CHECKPOINT), alice)
  const cut = fc.tuple(fc.nat(note.length), fc.nat(8), fc.string({ unit: 'binary' }))
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    cut.map(([at, count, insert]) => note.slice(0, at) + insert + note.slice(at + count)),
  )
  fc.assert(
    fc.property(text, (text) => {
      try {
        verifyCheckpoint(text, alice.verifierKey)
        return text === note
      } catch (error) {
        return error instanceof LedgerError
      }
    }),
    { numRuns: 1000 },
  )
})
