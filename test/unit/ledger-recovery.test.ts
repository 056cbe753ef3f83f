import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { checkMemory } from '../../daemon/ledger/memory.ts'
import { verifyConsistency } from '../../daemon/ledger/merkle.ts'
import { ed25519Signer } from '../../daemon/ledger/note.ts'
import { openReader } from '../../daemon/ledger/reader.ts'
import {
  decodeSegment,
  encodeFrame,
  encodeSegmentHeader,
  segmentName,
} from '../../daemon/ledger/wal-frame.ts'
import {
  appendLeaves,
  flip,
  fsck,
  grow,
  leaf,
  open,
  signer,
  temporaryDirectory,
  writer,
} from './ledger-fixture.ts'

/** A log of `integrated` signed leaves and `more` that are only in the write-ahead log, as after a power cut. */
async function crashed(dir: string, integrated: number, more: number): Promise<string> {
  await grow(dir, 0, integrated)
  const [name] = readdirSync(join(dir, 'wal'))
  const path = join(dir, 'wal', name!)
  for (let i = 0; i < more; i++)
    appendFileSync(path, encodeFrame(BigInt(integrated + i), leaf(integrated + i)))
  return path
}

async function reopened(dir: string): Promise<{ size: bigint; cut: unknown }> {
  const ledger = await open(dir)
  const { size, cut } = ledger
  await ledger.close()
  return { size, cut }
}

t.test('a process killed while it appends loses no acknowledged leaf', async (t) => {
  const dir = temporaryDirectory(t)
  let signed = openReader(dir).checkpoint()
  for (const kills of [1, 2, 3]) {
    const child = writer(dir)
    let acknowledged = -1
    for await (const line of createInterface(child.stdout)) {
      acknowledged = Number(line)
      if (acknowledged > kills * 700) child.kill('SIGKILL')
    }
    // A kill may cut a write short between two pages.
    const damages = (await fsck(dir)).filter((damage) => !damage.what.includes('torn'))
    t.same(damages, [], 'whole as the kill left it')
    const { size } = await reopened(dir)
    t.ok(size > BigInt(acknowledged), `${size} leaves, ${acknowledged + 1} acknowledged`)
    const reader = openReader(dir)
    for (let i = 0; i <= acknowledged; i += 13) t.same(reader.entry(BigInt(i)), leaf(i))
    const now = reader.checkpoint()!
    if (signed !== undefined) {
      const proof = reader.consistencyProof(signed.size, now.size)
      verifyConsistency({
        oldSize: signed.size,
        oldRoot: signed.root,
        newSize: now.size,
        newRoot: now.root,
        proof,
      })
    }
    signed = now
    t.same(await fsck(dir), [])
  }
})

t.test('replays what is only in the write-ahead log', async (t) => {
  const dir = temporaryDirectory(t)
  await crashed(dir, 5, 300)
  t.same(await reopened(dir), { size: 305n, cut: undefined })
  t.same(openReader(dir).entry(304n), leaf(304))
  t.same(await fsck(dir), [])
})

t.test('cuts and reports a torn tail, wherever it is torn', async (t) => {
  const whole = temporaryDirectory(t)
  const path = await crashed(whole, 2, 3)
  const torn = encodeFrame(5n, leaf(5))
  for (const length of [1, 3, 4, 10, 16, torn.length - 33, torn.length - 1]) {
    const dir = temporaryDirectory(t)
    cpSync(whole, dir, { recursive: true })
    const file = `wal/${path.split('/').at(-1)}`
    const offset = readFileSync(path).length
    appendFileSync(join(dir, file), torn.subarray(0, length))
    t.same(await reopened(dir), { size: 5n, cut: { file, offset, bytes: length } })
    t.equal((await reopened(dir)).cut, undefined)
    t.same(openReader(dir).entry(4n), leaf(4))
  }
  const zeroed = temporaryDirectory(t)
  cpSync(whole, zeroed, { recursive: true })
  appendFileSync(join(zeroed, 'wal', path.split('/').at(-1)!), Buffer.alloc(4096))
  t.match(await reopened(zeroed), { size: 5n, cut: { bytes: 4096 } })
})

t.test('a torn tail is cut before the next segment makes it look like rot', async (t) => {
  const dir = temporaryDirectory(t)
  appendFileSync(await crashed(dir, 2, 3), 'torn')
  const fs = { ...realFileSystem, unlink: () => Promise.reject(new Error('injected')) }
  await t.rejects(open(dir, { fs }), { name: 'DurableError' })
  t.ok(readdirSync(join(dir, 'wal')).length > 1, 'the old segment is still there')
  t.equal((await reopened(dir)).size, 5n)
})

t.test('refuses a damaged frame with good ones behind it, whichever byte it is', async (t) => {
  const frames = [0, 1, 2].map((i) => encodeFrame(BigInt(i), leaf(i + 1)))
  const bytes = Buffer.concat([encodeSegmentHeader(1), ...frames])
  const last = bytes.length - frames[2]!.length
  t.equal(decodeSegment(bytes, 1, 0n).bad, undefined)
  for (let i = 0; i < bytes.length; i++) {
    for (const bit of [1, 128]) {
      const altered = Buffer.from(bytes)
      altered[i]! ^= bit
      const { bad } = decodeSegment(altered, 1, 0n)
      t.equal(bad?.kind, i < last ? 'rot' : 'torn', `byte ${i}`)
      t.ok(bad!.offset <= i)
    }
  }
  const dir = temporaryDirectory(t)
  const path = await crashed(dir, 2, 3)
  const undo = flip(path, 48 + 20)
  await t.rejects(open(dir), { code: 'WAL_DAMAGED', message: /wal\/\d+\.wal at 48/, remedy: /verify/ })
  await t.rejects(open(dir), { code: 'WAL_DAMAGED' }, 'refusing changes nothing')
  undo()
  t.equal((await reopened(dir)).size, 5n)
})

t.test('refuses a write-ahead log with leaves or segments missing', async (t) => {
  const dir = temporaryDirectory(t)
  const path = await crashed(dir, 2, 0)
  writeFileSync(path, Buffer.concat([readFileSync(path), encodeFrame(3n, leaf(3))]))
  await t.rejects(open(dir), { code: 'WAL_DAMAGED', message: /leaves 2 to 2/ })
  const other = temporaryDirectory(t)
  const first = await crashed(other, 2, 2)
  const number = Number(first.slice(-14, -4))
  const segment = Buffer.concat([encodeSegmentHeader(number + 2), encodeFrame(4n, leaf(4))])
  writeFileSync(join(other, 'wal', segmentName(number + 2)), segment)
  await t.rejects(open(other), { code: 'WAL_DAMAGED', message: /missing/ })
})

t.test(
  'a torn tail before a segment that holds leaves is damage; before an unused one a crash in a roll',
  async (t) => {
    const dir = temporaryDirectory(t)
    const path = await crashed(dir, 2, 2)
    const number = Number(path.slice(-14, -4))
    truncateSync(path, readFileSync(path).length - 1)
    const next = join(dir, 'wal', segmentName(number + 1))
    writeFileSync(next, Buffer.concat([encodeSegmentHeader(number + 1), encodeFrame(4n, leaf(4))]))
    await t.rejects(open(dir), { code: 'WAL_DAMAGED' })
    t.match(await fsck(dir), [{ file: `wal/${segmentName(number)}`, what: 'a damaged frame' }])
    writeFileSync(next, encodeSegmentHeader(number + 1))
    t.match(await fsck(dir), [{ file: `wal/${segmentName(number)}`, what: /torn/ }])
    t.match(await reopened(dir), { size: 3n, cut: { file: `wal/${segmentName(number)}` } })
    t.same(await reopened(dir), { size: 3n, cut: undefined })
    t.same(await fsck(dir), [])
  },
)

t.test(
  'a batch that was not synced may lose any sectors: good frames of it behind bad ones are no rot',
  async (t) => {
    const batch = [2, 3, 4].map((i, position) => encodeFrame(BigInt(i), leaf(i), position))
    const later = encodeFrame(5n, leaf(5))
    const dir = temporaryDirectory(t)
    const path = await crashed(dir, 2, 0)
    const whole = readFileSync(path)
    for (const [lost, size] of [
      [0, 2n],
      [1, 3n],
    ] as const) {
      const left = batch.map((frame, i) => (i === lost ? Buffer.alloc(frame.length) : frame))
      writeFileSync(path, Buffer.concat([whole, ...left, later]))
      await t.rejects(open(dir), { code: 'WAL_DAMAGED' }, 'a later batch behind: these were durable')
      const copy = temporaryDirectory(t)
      cpSync(dir, copy, { recursive: true })
      writeFileSync(join(copy, 'wal', path.split('/').at(-1)!), Buffer.concat([whole, ...left]))
      t.match(await fsck(copy), [{ what: /torn/ }])
      t.match(await reopened(copy), { size, cut: { bytes: Buffer.concat(left.slice(lost)).length } })
      t.same(await fsck(copy), [])
    }
  },
)

t.test('integrates again what a crash left half integrated', async (t) => {
  const whole = temporaryDirectory(t)
  await crashed(whole, 200, 400)
  const done = temporaryDirectory(t)
  cpSync(whole, done, { recursive: true })
  await reopened(done)
  // The old state with the new tiles; the partial tiles of the old state are gone already.
  const dir = temporaryDirectory(t)
  cpSync(whole, dir, { recursive: true })
  rmSync(join(dir, 'tile'), { recursive: true })
  cpSync(join(done, 'tile'), join(dir, 'tile'), { recursive: true })
  t.same(await fsck(dir), [], 'the leftovers are what follows from the write-ahead log')
  const undo = flip(join(dir, 'tile/entries/001'), 17)
  t.match(await fsck(dir), [{ file: 'tile/entries/001' }])
  undo()
  t.equal((await reopened(dir)).size, 600n)
  t.same(openReader(dir).checkpoint()?.root, openReader(done).checkpoint()?.root)
  t.same(await fsck(dir), [])
})

t.test('never signs a rollback: a restored backup beside a newer checkpoint is refused', async (t) => {
  const dir = temporaryDirectory(t)
  const backup = temporaryDirectory(t)
  await grow(dir, 0, 5)
  cpSync(dir, backup, { recursive: true })
  await grow(dir, 5, 9)
  cpSync(join(dir, 'checkpoint'), join(backup, 'checkpoint'))
  await t.rejects(open(backup), { code: 'ROLLBACK', message: /5 leaves, but 9/, remedy: /new log/ })
  t.equal(openReader(backup).checkpoint()?.size, 9n, 'the newer checkpoint still stands')
})

t.test('never signs another history: other leaves than those signed are refused', async (t) => {
  const dir = temporaryDirectory(t)
  const other = temporaryDirectory(t)
  await grow(dir, 0, 5)
  for (const [from, to] of [
    [1, 6],
    [1, 9],
  ] as const) {
    await grow(other, from, to)
    const note = readFileSync(join(other, 'checkpoint'))
    cpSync(join(dir, 'checkpoint'), join(other, 'checkpoint'))
    await t.rejects(open(other), { code: 'INCONSISTENT', remedy: /new log/ })
    writeFileSync(join(other, 'checkpoint'), note)
  }
})

t.test(
  'a whole log that was put back, emptied or replaced is refused by who remembers the newer one',
  async (t) => {
    const [dir, backup, other] = [temporaryDirectory(t), temporaryDirectory(t), temporaryDirectory(t)]
    const memory = join(temporaryDirectory(t), 'last-checkpoint')
    const check = (of: string) => [...checkMemory(memory, of, signer.verifierKey)]
    t.same(check(dir), [], 'no log, no memory')
    await grow(dir, 0, 5)
    t.match(check(dir), [{ file: 'last-checkpoint', what: /missing/ }])
    await (await open(dir, { memory })).close()
    t.same(readFileSync(memory), readFileSync(join(dir, 'checkpoint')), 'also of a log that has just got one')
    cpSync(dir, backup, { recursive: true })
    const ledger = await open(dir, { memory })
    await appendLeaves(ledger, 5, 9)
    await ledger.close()
    t.same(check(dir), [])

    await t.rejects(open(backup, { memory }), {
      code: 'ROLLBACK',
      message: /5 leaves, but 9/,
      remedy: /new log/,
    })
    t.equal(openReader(backup).checkpoint()?.size, 5n, 'nothing was signed')
    t.match(check(backup), [{ what: /put back/ }])
    await t.rejects(open(temporaryDirectory(t), { memory }), { code: 'ROLLBACK', message: /0 leaves, but 9/ })
    await grow(other, 1, 12)
    await t.rejects(open(other, { memory }), { code: 'INCONSISTENT' })
    t.match(check(other), [{ what: /not those stored/ }])

    const foreign = ed25519Signer('another.invalid/log', Buffer.alloc(32, 9))
    const elsewhere = await open(temporaryDirectory(t), { ...foreign, origin: 'another.invalid/log', memory })
    await elsewhere.close()
    t.equal(openReader(dir).checkpoint()?.size, 9n, 'that of another log says nothing about this one')
    writeFileSync(memory, 'nonsense')
    await t.rejects(open(dir, { memory }), {
      code: 'CHECKPOINT_DAMAGED',
      message: /last-checkpoint/,
      remedy: /remove/,
    })
    t.match(check(dir), [{ file: 'last-checkpoint' }])
  },
)

t.test('refuses to go on from other leaves in the write-ahead log up to the signed size', async (t) => {
  const dir = temporaryDirectory(t)
  const path = await crashed(dir, 2, 0)
  appendFileSync(path, Buffer.concat([encodeFrame(2n, leaf(8)), encodeFrame(3n, leaf(9))]))
  const signed = temporaryDirectory(t)
  await grow(signed, 0, 4)
  cpSync(join(signed, 'checkpoint'), join(dir, 'checkpoint'))
  await t.rejects(open(dir), { code: 'INCONSISTENT' })
})

t.test('refuses a log whose checkpoint, state, tiles or bundles are gone or damaged', async (t) => {
  const dir = temporaryDirectory(t)
  await grow(dir, 0, 300)
  const whole = temporaryDirectory(t)
  cpSync(dir, whole, { recursive: true })
  const cases = [
    ['checkpoint', 'CHECKPOINT_MISSING', 'CHECKPOINT_DAMAGED'],
    ['state.json', 'STATE_MISSING', 'STATE_DAMAGED'],
    ['tile/0/001.p/44', 'TILE_MISSING', 'TILE_DAMAGED'],
    ['tile/1/000.p/1', 'TILE_MISSING', 'TILE_DAMAGED'],
    ['tile/entries/001.p/44', 'TILE_MISSING', 'TILE_DAMAGED'],
  ] as const
  const aside = join(temporaryDirectory(t), 'aside')
  for (const [file, missing, damaged] of cases) {
    renameSync(join(dir, file), aside)
    await t.rejects(open(dir), { name: 'LedgerError', code: missing, remedy: /./ }, `${file} missing`)
    renameSync(aside, join(dir, file))
    const undo = flip(join(dir, file), 9)
    await t.rejects(open(dir), { name: 'LedgerError', code: damaged, remedy: /./ }, `${file} damaged`)
    undo()
    truncateSync(join(dir, file), 5)
    await t.rejects(open(dir), { name: 'LedgerError', code: damaged }, `${file} cut`)
    rmSync(join(dir, file))
    cpSync(join(whole, file), join(dir, file))
  }
  t.equal((await reopened(dir)).size, 300n)
})

t.test('acknowledges a leaf only after its bytes were synced', async (t) => {
  const events: string[] = []
  const ledger = await open(temporaryDirectory(t), {
    fs: {
      ...realFileSystem,
      async open(path, flags, mode) {
        const file = await realFileSystem.open(path, flags, mode)
        const [writev, datasync] = [file.writev.bind(file), file.datasync.bind(file)]
        file.writev = async (buffers, position) => {
          events.push('write')
          return writev(buffers, position)
        }
        file.datasync = async () => {
          await setTimeout(20)
          await datasync()
          events.push('synced')
        }
        return file
      },
    },
  })
  events.length = 0
  await Promise.all(
    Array.from({ length: 50 }, (_, i) => ledger.append(leaf(i)).then(() => events.push('acknowledged'))),
  )
  t.same(events, ['write', 'synced', ...Array.from({ length: 50 }, () => 'acknowledged')], 'one sync for all')
  await ledger.close()
})

t.test('an interrupted beginning is begun again', async (t) => {
  const dir = temporaryDirectory(t)
  await t.rejects(
    open(dir, {
      sign: () => {
        throw new Error('key not there yet')
      },
    }),
    { code: 'SIGNING_FAILED' },
  )
  const ledger = await open(dir)
  await appendLeaves(ledger, 0, 1)
  await ledger.close()
  t.equal(openReader(dir).checkpoint()?.size, 1n)
})
