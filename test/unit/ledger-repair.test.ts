import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { repairLedger } from '../../daemon/ledger/repair.ts'
import {
  appendLeaves,
  filesOf,
  flip,
  fsck,
  grow,
  leaf,
  open,
  signer,
  temporaryDirectory,
} from './ledger-fixture.ts'

const { verifierKey } = signer
const repair = (dir: string, more = {}) => repairLedger({ dir, verifierKey, ...more })
const elsewhere = (index: bigint) => leaf(Number(index))

/** Two full tiles, a partial one with two older ones beside it. */
async function someLog(t: Test): Promise<string> {
  const dir = temporaryDirectory(t)
  for (const [from, to] of [
    [0, 515],
    [515, 518],
    [518, 530],
  ] as const) {
    await grow(dir, from, to)
  }
  return dir
}

/** What there is to lose: all but locks and the write-ahead log. */
const contents = (dir: string) =>
  filesOf(dir)
    .filter((file) => file !== 'lock' && !file.startsWith('wal/'))
    .map((file) => [file, readFileSync(join(dir, file), 'latin1')] as const)

t.test('hash tiles and the tree state, damaged, cut or gone, come back byte for byte', async (t) => {
  const dir = await someLog(t)
  const whole = contents(dir)
  t.same(await repair(dir), { written: [], removed: [] }, 'a whole log is left alone')
  const needed = whole
    .map(([file]) => file)
    .filter((file) => /^(tile\/[01]\/(000$|001$|002.p\/18|000.p)|state)/.test(file))
  t.equal(needed.length, 5)
  const spoil = [
    (path: string) => void flip(path, 9),
    (path: string) => truncateSync(path, 7),
    (path: string) => rmSync(path),
  ]
  for (const file of needed) {
    for (const [i, damage] of spoil.entries()) {
      damage(join(dir, file))
      t.same(await repair(dir), { written: [file], removed: [] }, `${file}, damage ${i}`)
      t.same(contents(dir), whole)
    }
  }
  for (const file of needed) flip(join(dir, file), 5)
  t.same([...(await repair(dir)).written].sort(), [...needed].sort(), 'all at once')
  t.same(contents(dir), whole)
  await grow(dir, 530, 531)
  t.same(await fsck(dir), [])
})

t.test('an older partial tile that is damaged goes: the wider ones hold what it held', async (t) => {
  const dir = await someLog(t)
  flip(join(dir, 'tile/entries/002.p/3'), 4)
  flip(join(dir, 'tile/0/002.p/6'), 4)
  t.same((await repair(dir)).removed.toSorted(), ['tile/0/002.p/6', 'tile/entries/002.p/3'])
  t.same(await fsck(dir), [])
})

t.test(
  'a damaged entry bundle comes back from where its leaves are kept too, and from there only',
  async (t) => {
    const dir = await someLog(t)
    const whole = contents(dir)
    const bundles = ['tile/entries/000', 'tile/entries/002.p/18']
    for (const file of bundles) {
      for (const damage of [(path: string) => void flip(path, 30), (path: string) => rmSync(path)]) {
        damage(join(dir, file))
        const before = contents(dir)
        await t.rejects(repair(dir), { name: 'LedgerError', code: /TILE/, remedy: /copy/ }, file)
        const liar = () => Buffer.from('another leaf')
        await t.rejects(repair(dir, { elsewhere: liar }), { code: /TILE/ }, 'other leaves are not believed')
        t.same(contents(dir), before, 'nothing was written')
        t.same(await repair(dir, { elsewhere }), { written: [file], removed: [] })
        t.same(contents(dir), whole)
      }
    }
  },
)

t.test('nothing is written on the word of leaves that were not signed', async (t) => {
  const [dir, other] = [temporaryDirectory(t), temporaryDirectory(t)]
  await grow(dir, 0, 300)
  await grow(other, 1, 301)
  cpSync(join(dir, 'checkpoint'), join(other, 'checkpoint'))
  rmSync(join(other, 'state.json'))
  rmSync(join(other, 'tile/0/000'))
  const before = contents(other)
  await t.rejects(repair(other), { code: 'TILE_DAMAGED', message: /300 that were signed/, remedy: /fsck/ })
  t.same(contents(other), before)
  writeFileSync(join(other, 'checkpoint'), 'not one')
  await t.rejects(repair(other), { code: 'CHECKPOINT_DAMAGED' })
  rmSync(join(other, 'checkpoint'))
  await t.rejects(repair(other), { code: 'CHECKPOINT_MISSING' })
})

t.test(
  'leaves that were integrated and not yet signed when the state was lost are not forgotten',
  async (t) => {
    const dir = temporaryDirectory(t)
    await grow(dir, 0, 250)
    const sign = () => {
      throw new Error('no key')
    }
    let broken = false
    const ledger = await open(dir, { sign: (text) => (broken ? sign() : signer.sign(text)) })
    broken = true
    await appendLeaves(ledger, 250, 270)
    await t.rejects(ledger.close(), { code: 'SIGNING_FAILED' })
    const state = readFileSync(join(dir, 'state.json'))
    rmSync(join(dir, 'state.json'))
    t.same((await repair(dir)).written, ['state.json'])
    t.same(readFileSync(join(dir, 'state.json')), state)
    await grow(dir, 270, 271)
    t.same(await fsck(dir), [])
  },
)

t.test('nothing is repaired under a daemon, and a repair that was cut short is begun again', async (t) => {
  const dir = await someLog(t)
  const ledger = await open(dir)
  await t.rejects(repair(dir), { code: 'LOCKED', remedy: /Stop the daemon/ })
  await ledger.close()
  const files = ['tile/0/000', 'tile/0/001', 'tile/1/000.p/2']
  for (const file of files) flip(join(dir, file), 3)
  let renames = 0
  const fs = {
    ...realFileSystem,
    rename: async (from: string, to: string) => {
      if (++renames === 2) throw Object.assign(new Error('injected'), { code: 'EIO' })
      await realFileSystem.rename(from, to)
    },
  }
  await t.rejects(repair(dir, { fs }), { name: 'DurableError' })
  t.equal((await repair(dir)).written.length, 2, 'the first is done')
  t.same(await fsck(dir), [])
})
