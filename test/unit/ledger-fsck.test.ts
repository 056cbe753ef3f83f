import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { checkTree } from '../../daemon/ledger/fsck-tree.ts'
import { integrate } from '../../daemon/ledger/integrate.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import { EMPTY_EDGE, edgeRoot } from '../../daemon/ledger/right-edge.ts'
import { encodeFrame } from '../../daemon/ledger/wal-frame.ts'
import { filesOf, flip, fsck, grow, leaf, ORIGIN, temporaryDirectory, writer } from './ledger-fixture.ts'

/** Flips the bytes at these offsets in turn: each must be named, and nothing else be. */
async function everyFlipIsNamed(t: Test, dir: string, file: string, step = 1): Promise<void> {
  const { length } = readFileSync(join(dir, file))
  const missed: number[] = []
  for (let offset = 0; offset < length; offset += step) {
    const undo = flip(join(dir, file), offset)
    const damages = await fsck(dir)
    undo()
    const named = damages.length > 0 && damages.every((damage) => damage.file === file)
    if (!named || damages.some((damage) => (damage.offset ?? 0) > offset)) missed.push(offset)
  }
  t.same(missed, [], `${file}: ${length} bytes`)
}

t.test('names the file of any flipped byte of a small log, older partial tiles included', async (t) => {
  const dir = temporaryDirectory(t)
  for (const [from, to] of [
    [0, 3],
    [3, 9],
  ] as const) {
    await grow(dir, from, to)
  }
  t.same(await fsck(dir), [])
  const files = filesOf(dir).filter((file) => !file.startsWith('wal/') && file !== 'lock')
  t.same(files, [
    'checkpoint',
    'state.json',
    ...['0/000.p/3', '0/000.p/9', 'entries/000.p/3', 'entries/000.p/9'].map((f) => `tile/${f}`),
  ])
  for (const file of files) await everyFlipIsNamed(t, dir, file)
})

t.test('names the file of any flipped byte of a log with several levels', async (t) => {
  const dir = temporaryDirectory(t)
  for (const [from, to] of [
    [0, 511],
    [511, 515],
    [515, 520],
  ] as const) {
    await grow(dir, from, to)
  }
  t.same(await fsck(dir), [])
  const tiles = filesOf(dir).filter((file) => file.startsWith('tile/'))
  t.equal(tiles.length, 4 + 4 + 2, 'full, partial, older')
  for (const file of tiles) await everyFlipIsNamed(t, dir, file, file.includes('.p/') ? 13 : 397)
})

t.test('names the segment of any flipped byte of the write-ahead log', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 3)
  const file = `wal/${readdirSync(join(dir, 'wal'))[0]}`
  const frames = [3, 4].map((i) => encodeFrame(BigInt(i), leaf(i)))
  writeFileSync(join(dir, file), Buffer.concat([readFileSync(join(dir, file)), ...frames]))
  t.same(await fsck(dir), [], 'leaves that only the write-ahead log holds are no damage')
  // At the same time, since each waits a second for a daemon that might be writing.
  const found = await Promise.all(
    [...readFileSync(join(dir, file)).keys()].map(async (offset) => {
      const copy = temporaryDirectory(t)
      cpSync(dir, copy, { recursive: true })
      flip(join(copy, file), offset)
      const damages = await fsck(copy)
      return damages.length === 1 && damages[0]!.file === file && damages[0]!.offset! <= offset
    }),
  )
  t.ok(found.every(Boolean))
})

t.test(
  'names the damaged tile on each of three levels, full or partial, and the damaged bundle',
  async (t) => {
    const dir = temporaryDirectory(t)
    const size = 256 * 256 + 256 + 3
    const leaves = Array.from({ length: size }, (_, i) => leaf(i))
    mkdirSync(join(dir, 'tile'))
    const edge = await integrate({ dir, origin: ORIGIN, fs: realFileSystem }, EMPTY_EDGE, leaves)
    const tree = { dir, size: edge.size, root: edgeRoot(edge.levels), rootFile: 'state.json', from: 0n }
    const check = async (from = 0n) => {
      const files: string[] = []
      for await (const damage of checkTree({ ...tree, from })) files.push(damage.file)
      return files
    }
    t.same(await check(), [])
    const files = [
      '2/000.p/1',
      '1/000',
      '1/001.p/1',
      '0/000',
      '0/255',
      '0/256',
      '0/257.p/3',
      'entries/100',
      'entries/256',
      'entries/257.p/3',
    ]
    for (const file of files.map((name) => `tile/${name}`)) {
      const undo = flip(join(dir, file), 21)
      t.same(await check(), [file])
      undo()
    }
    const undo = [
      flip(join(dir, 'tile/0/257.p/3'), 40),
      flip(join(dir, 'tile/0/000'), 0),
      flip(join(dir, 'tile/2/000.p/1'), 0),
    ]
    t.same((await check()).sort(), ['tile/0/000', 'tile/0/257.p/3', 'tile/2/000.p/1'], 'three at once')
    t.same((await check(65_536n)).sort(), ['tile/0/257.p/3', 'tile/2/000.p/1'], 'only what is new')
    for (const put of undo) put()
    t.same(await check(), [])
  },
)

t.test('names files that are missing, cut short, too long or do not belong there', async (t) => {
  const whole = temporaryDirectory(t)
  await grow(whole, 0, 300)
  const files = filesOf(whole).filter((file) => file !== 'lock' && !file.startsWith('wal/'))
  for (const file of files) {
    for (const spoil of [
      rmSync,
      (path: string) => truncateSync(path, 20),
      (path: string) => writeFileSync(path, '\n', { flag: 'a' }),
    ]) {
      const dir = temporaryDirectory(t)
      cpSync(whole, dir, { recursive: true })
      spoil(join(dir, file))
      const found = new Set((await fsck(dir)).map((damage) => damage.file))
      t.same([...found], [file], `${file} ${spoil.name}`)
    }
  }
  const dir = temporaryDirectory(t)
  cpSync(whole, dir, { recursive: true })
  writeFileSync(join(dir, 'tile/0/stray'), '')
  t.match(await fsck(dir), [{ file: 'tile/0/stray' }])
  t.match(await fsck(temporaryDirectory(t)), [
    { file: 'checkpoint', what: /missing/ },
    { file: 'state.json' },
  ])
})

t.test('notices a whole log put in the place of the signed one', async (t) => {
  const [dir, other, short] = [temporaryDirectory(t), temporaryDirectory(t), temporaryDirectory(t)]
  await grow(dir, 0, 9)
  await grow(other, 1, 10)
  await grow(short, 0, 5)
  cpSync(join(dir, 'checkpoint'), join(other, 'checkpoint'))
  t.match(await fsck(other), [{ file: 'checkpoint', what: /not those stored/ }])
  cpSync(join(dir, 'checkpoint'), join(short, 'checkpoint'))
  t.match(await fsck(short), [{ file: 'state.json', what: /5 leaves, but 9 were signed/ }])
})

t.test('raises no alarm about a log that another process writes', async (t) => {
  const dir = temporaryDirectory(t)
  const child = writer(dir)
  const ended = once(child, 'exit')
  await once(child.stdout, 'data')
  child.stdout.resume()
  const until = Date.now() + 3000
  let checks = 0
  for (; Date.now() < until; checks++) {
    const damages = await fsck(dir)
    if (damages.length > 0) t.same(damages, [])
  }
  const size = openReader(dir).checkpoint()?.size ?? 0n
  t.ok(checks > 3 && size > 300n, `${checks} checks while the log grew to ${size} leaves`)

  flip(join(dir, 'tile/entries/000'), 100)
  t.match(await fsck(dir), [{ file: 'tile/entries/000' }], 'real damage is found meanwhile')
  child.kill('SIGKILL')
  await ended
})
