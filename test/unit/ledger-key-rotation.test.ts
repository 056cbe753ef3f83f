/** The ledger across a rotation of its key: what is signed by whom, and what it opens with. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { verifyCheckpoint } from '../../daemon/ledger/checkpoint.ts'
import { ed25519Signer } from '../../daemon/ledger/note.ts'
import { signer as a, appendLeaves, grow, ORIGIN, open, temporaryDirectory } from './ledger-fixture.ts'

const b = ed25519Signer(ORIGIN, randomBytes(32))
const c = ed25519Signer(ORIGIN, randomBytes(32))
const note = (dir: string) => readFileSync(join(dir, 'checkpoint'), 'utf8')

t.test('while both are there both sign, and either verifies', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 5)
  const ledger = await open(dir, { ...b, predecessor: a })
  await appendLeaves(ledger, 5, 9)
  await ledger.close()
  for (const { verifierKey } of [a, b]) t.equal(verifyCheckpoint(note(dir), verifierKey).size, 9n)
  t.match(note(dir).split('\n').length, 4 + 3, 'two lines of signatures')
  t.throws(() => verifyCheckpoint(note(dir), c.verifierKey), { code: 'UNKNOWN_KEY' })
})

t.test(
  'the new key goes on alone from a checkpoint of both, and from one of the old key that it follows',
  async (t) => {
    for (const overlap of [true, false]) {
      const dir = temporaryDirectory(t)
      await grow(dir, 0, 5)
      if (overlap) await (await open(dir, { ...b, predecessor: a })).close()
      const ledger = await open(dir, { ...b, predecessor: { verifierKey: a.verifierKey } })
      await appendLeaves(ledger, 5, 6)
      await ledger.close()
      t.equal(verifyCheckpoint(note(dir), b.verifierKey).size, 6n)
      t.throws(() => verifyCheckpoint(note(dir), a.verifierKey), { code: 'UNKNOWN_KEY' })
      await (await open(dir, b)).close()
    }
  },
)

t.test('a log does not open for a key that follows none of those that signed', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 5)
  await t.rejects(open(dir, b), { code: 'CHECKPOINT_DAMAGED' })
  await t.rejects(open(dir, { ...c, predecessor: b }), { code: 'CHECKPOINT_DAMAGED' })
  await grow(dir, 5, 6)
})
