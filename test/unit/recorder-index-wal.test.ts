import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { walDamage } from '../../daemon/recorder/check/check-index-wal.ts'

const HEADER = 32
const PAGE = 4096
const FRAME = 24 + PAGE
const directory = t.testdir()
const file = join(directory, 'index.sqlite')
const wal = `${file}-wal`

const database = new DatabaseSync(file)
database.exec('PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a, b)')
const insert = (from: number, to: number) => {
  database.exec('BEGIN')
  for (let i = from; i < to; i++) database.prepare('INSERT INTO t VALUES (?, ?)').run(i, 'x'.repeat(900))
  database.exec('COMMIT')
}
insert(0, 3)
insert(3, 20)
t.teardown(() => database.close())

/** What is found in a copy with this byte changed. */
async function flipped(whole: Buffer, at: number): Promise<number | undefined> {
  const copy = join(directory, `${whole.length}-${at}-wal`)
  const bytes = Buffer.from(whole)
  bytes[at]! ^= 0x41
  writeFileSync(copy, bytes)
  return (await walDamage(copy))?.offset
}

t.test('a flipped byte of any frame is found, in the last one too', async (t) => {
  t.equal(await walDamage(wal), undefined)
  const whole = readFileSync(wal)
  const frames = (whole.length - HEADER) / FRAME
  t.ok(frames > 5 && Number.isInteger(frames), `${frames} frames`)
  const inHeader = Array.from({ length: HEADER }, (_, i) => i)
  // Every byte of the frames' headers, some of their pages.
  const inFrames = Array.from({ length: frames }, (_, i) =>
    [...Array(24).keys(), 24, 1000, FRAME - 1].map((at) => HEADER + i * FRAME + at),
  ).flat()
  const missed: number[] = []
  await Promise.all(
    [...inHeader, ...inFrames].map(async (at) => {
      const offset = await flipped(whole, at)
      if (offset === undefined || offset > at) missed.push(at)
    }),
  )
  t.same(missed, [])
})

t.test('what a kill leaves at the end, and frames of an older log behind it, are no damage', async (t) => {
  const copy = join(directory, 'cut-wal')
  const whole = readFileSync(wal)
  for (const end of [whole.length - 1, whole.length - PAGE, whole.length - 2 * FRAME, HEADER + FRAME, 0]) {
    copyFileSync(wal, copy)
    truncateSync(copy, end)
    t.equal(await walDamage(copy), undefined, `cut to ${end}`)
  }
  database.exec('PRAGMA wal_checkpoint(RESTART)')
  insert(20, 22)
  t.equal(readFileSync(wal).length, whole.length, 'the old frames are still there')
  t.equal(await walDamage(wal), undefined)
  const at = HEADER + 100
  t.equal(await flipped(readFileSync(wal), at), HEADER, 'and damage before them is found')
  t.equal(await walDamage(join(directory, 'absent')), undefined)
})
