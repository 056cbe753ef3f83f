import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { eraseContent } from '../../daemon/recorder/erasure/erase.ts'
import { Finaliser } from '../../daemon/recorder/finalise/finaliser.ts'
import { parseLeaf, storedParts } from '../../daemon/recorder/index/row.ts'
import { openIndex } from '../../daemon/recorder/index-reader.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { reserveOf, shortOf, spaceHealth, spaceState } from '../../daemon/recorder/retention/free-space.ts'
import { packLimits } from '../../daemon/recorder/retention/keeper.ts'
import { PatientClock } from '../../daemon/recorder/retention/patient-clock.ts'
import { dueFor, expireOne, type RetentionLimits } from '../../daemon/recorder/retention/retention.ts'
import { damage, faulty, forEach, journalled, listen } from './recorder-finaliser-fixture.ts'
import { FakeProxy, startMessage, temporaryDirectory } from './recorder-fixtures.ts'
import { plaintext } from './recorder-plaintext.ts'
import { startRecorder } from './recorder-process.ts'

t.setTimeout(120_000)

const HOUR = 3_600_000
const MIB = 1 << 20
const contents = Array.from({ length: 6 }, (_, i) =>
  Buffer.from(`${i}: ${randomBytes(30_000).toString('base64')}`),
)

/** Six exchanges, each in a pack of its own where nothing else is said. */
async function recorded(
  fs = realFileSystem,
  { packBytes = 10_000, timeOf }: { packBytes?: number; timeOf?: (i: number) => number } = {},
) {
  const made = await journalled(6, {}, (i) => contents[i]!, timeOf)
  const options = { ...made.options, packBytes }
  const heard = listen()
  const finaliser = await Finaliser.open({ ...options, fs, retry: { first: 5, most: 20 } }, heard.events)
  for (const request of made.requests) finaliser.push({ type: 'exchange', request })
  await heard.until(6)
  rmSync(options.journal, { recursive: true })
  const { start } = made
  const dir = path.join(start.stateDir, 'packs')
  const size = () => readdirSync(dir).reduce((sum, name) => sum + statSync(path.join(dir, name)).size, 0)
  /** Which of the six exchanges read as recorded, and what the index says of the others. */
  const look = () => {
    const index = openIndex(start.stateDir)
    const bodies = openBodies(start.stateDir, start.bodyKey)
    const rows = made.requests.map(({ id }) => index.get(id)!)
    const reads = rows.map((row, i) => {
      const [, body] = storedParts(parseLeaf(row.bytes))
      try {
        return bodies.read(body!.digest).bytes.equals(contents[i]!)
      } catch {
        return false
      }
    })
    const gone = rows.map((row) => index.gone(row)?.detail)
    bodies.close()
    index.close()
    return { reads, gone }
  }
  const reopen = () => Finaliser.open({ ...options, fs: realFileSystem }, listen().events)
  return { ...made, finaliser, size, look, reopen }
}

const all = (
  finaliser: Finaliser,
  limits: RetentionLimits,
  given = { now: Date.now(), diskShort: false },
) => ({
  async count() {
    let steps = 0
    while (await expireOne(finaliser, limits, given)) steps++
    return steps
  },
})

t.test('the oldest content goes while all together is too large, and not a leaf with it', async (t) => {
  const { finaliser, size, look, start } = await recorded()
  const before = size()
  const steps = await all(finaliser, { maxSize: before / 2, whenDiskFull: 'refuse' }).count()
  t.ok(steps >= 3 && steps <= 4, `${steps} packs of 6`)
  t.ok(size() <= before / 2)
  const { reads, gone } = look()
  t.same(
    reads,
    contents.map((_, i) => i >= steps),
    'the newest stay',
  )
  t.match(gone[0], { before: 1, reason: 'size', records: 1, parts: 4 })
  t.equal(gone[5], undefined)
  const left = plaintext(start.stateDir, start.bodyKey)
  t.notOk(left.includes(contents[0]!.subarray(0, 60)))
  t.ok(left.includes(contents[5]!.subarray(0, 60)))
  await finaliser.close()
  t.same(await damage(start), [])
  t.equal(openIndex(start.stateDir).stats().records, 6 + steps, 'a record says of each pack that it went')
})

t.test(
  'what is older than the limit goes, what is younger stays, and the pack in use can go too',
  async (t) => {
    const { finaliser, look, start, reopen } = await recorded()
    const limits = { maxAgeMs: HOUR, whenDiskFull: 'refuse' } as const
    t.equal(await all(finaliser, limits).count(), 0, 'nothing is an hour old')
    const later = { now: Date.now() + HOUR + 60_000, diskShort: false }
    t.equal(await all(finaliser, limits, later).count(), 6)
    t.ok(look().reads.every((reads) => !reads))
    await finaliser.close()
    t.same(await damage(start), [])
    await (await reopen()).close()
    t.same(await damage(start), [])
    for (const suffix of ['', '-wal', '-shm'])
      rmSync(path.join(start.stateDir, `index.sqlite${suffix}`), { force: true })
    await (await reopen()).close()
    t.match(
      look().gone,
      contents.map(() => ({ reason: 'age' })),
      'an index made anew says the same',
    )
    t.same(await damage(start), [])
  },
)

t.test('an exchange that took long doesn’t make the content beside it old', async (t) => {
  const timeOf = (i: number) => Date.now() - (i === 5 ? 2 * HOUR : 0)
  const { finaliser, look } = await recorded(realFileSystem, { packBytes: MIB, timeOf })
  t.equal(await all(finaliser, { maxAgeMs: HOUR, whenDiskFull: 'refuse' }).count(), 0)
  t.ok(look().reads.every((reads) => reads))
  await finaliser.close()
})

t.test('a clock that was ahead keeps nothing longer than what was recorded after it', async (t) => {
  const limits = { maxAgeMs: HOUR, whenDiskFull: 'refuse' } as const
  const ahead = Date.now() + 1000 * HOUR
  const once = await recorded(realFileSystem, { timeOf: (i) => (i < 2 ? ahead : Date.now() - 2 * HOUR) })
  t.equal(await all(once.finaliser, limits).count(), 6)
  await once.finaliser.close()
  const still = await recorded(realFileSystem, { timeOf: () => ahead })
  t.equal(await all(still.finaliser, limits).count(), 0, 'nor does one that is behind now age anything')
  await still.finaliser.close()
})

t.test('a clock that is set ahead is believed after an hour', async (t) => {
  const clock = new PatientClock(1000 * HOUR, 0)
  t.equal(clock.look(1000 * HOUR + 5000, 5000), 1000 * HOUR + 5000)
  t.equal(clock.look(9000 * HOUR, 10_000), 1000 * HOUR + 10_000, 'set ahead')
  t.equal(clock.look(9000 * HOUR + HOUR, HOUR), 1001 * HOUR, 'not yet')
  t.equal(clock.look(1001 * HOUR, HOUR), 1001 * HOUR, 'set back')
  t.equal(clock.look(9000 * HOUR, 2 * HOUR), 1002 * HOUR, 'an hour begins anew')
  t.equal(clock.look(9001 * HOUR, 3 * HOUR), 9001 * HOUR)
  t.equal(clock.look(10 * HOUR, 3 * HOUR), 10 * HOUR, 'an earlier one ages nothing')
  t.equal(new PatientClock(0, 0).look(50 * HOUR, HOUR - 1), HOUR - 1, 'long off, or wrong since the boot')
})

t.test('an index that lost what it had learned of the retention learns it again', async (t) => {
  const { finaliser, look, start, reopen } = await recorded()
  const file = path.join(start.stateDir, 'index.sqlite')
  await finaliser.close()
  const old = readFileSync(file)
  const next = await reopen()
  t.ok(await expireOne(next, { maxSize: 1, whenDiskFull: 'refuse' }, { now: Date.now(), diskShort: false }))
  await next.close()
  writeFileSync(file, old)
  await (await reopen()).close()
  t.same(await damage(start), [])
  t.same(look().reads, [false, true, true, true, true, true])
})

t.test('content goes early for a disk that is nearly full only where the settings say so', async (t) => {
  const { finaliser, look } = await recorded()
  const short = { now: Date.now(), diskShort: true }
  t.notOk(await expireOne(finaliser, { whenDiskFull: 'refuse' }, short))
  t.ok(await expireOne(finaliser, { whenDiskFull: 'expire' }, short))
  t.match(look().gone.slice(0, 2), [{ reason: 'disk' }, undefined])
  await finaliser.close()
})

t.test('erased records don’t hold up the retention, and are not told twice', async (t) => {
  const { finaliser, requests, look, start } = await recorded()
  const [first] = requests
  await finaliser.between((stores) => eraseContent(stores, stores, [first!.id], { uid: 0 }, () => {}))
  t.ok(
    await expireOne(finaliser, { maxSize: 1, whenDiskFull: 'refuse' }, { now: Date.now(), diskShort: false }),
  )
  const { gone } = look()
  t.match(gone.slice(0, 3), [{ uid: 0 }, { reason: 'size' }, undefined])
  await finaliser.close()
  t.same(await damage(start), [])
})

t.test('whatever call of the disk fails, the next start finishes what the log says went', async (t) => {
  const limits = { maxSize: 110_000, whenDiskFull: 'refuse' } as const
  const run = async (finaliser: Finaliser) => {
    while (await expireOne(finaliser, limits, { now: Date.now(), diskShort: false }));
  }
  const counter = faulty()
  const probe = await recorded(counter.fs)
  const before = counter.state.calls
  await run(probe.finaliser)
  const used = counter.state.calls - before
  await probe.finaliser.close()
  t.ok(used > 10, `${used} calls`)
  await forEach(used, async (fail) => {
    const { fs, state } = faulty()
    const made = await recorded(fs)
    state.at = state.calls + fail
    await run(made.finaliser).catch(() => {})
    await made.finaliser.close().catch(() => {})
    state.at = Number.POSITIVE_INFINITY
    const label = `call ${fail} (${state.hits[0]})`
    const next = await made.reopen()
    await run(next)
    await next.close()
    for (const what of await damage(made.start)) t.fail(`${label}: ${what}`)
    const { reads, gone } = made.look()
    for (const [i, each] of gone.entries()) {
      if ((each === undefined) !== reads[i])
        t.fail(`${label}: ${i} reads ${reads[i]}, gone ${JSON.stringify(each)}`)
    }
    const left = plaintext(made.start.stateDir, made.start.bodyKey)
    if (left.includes(contents[0]!.subarray(0, 60))) t.fail(`${label}: content is left`)
  })
  t.pass()
})

t.test('the recorder keeps to its limits by itself, while it records', async (t) => {
  const start = {
    ...startMessage(temporaryDirectory()),
    retention: { maxSize: 100_000, whenDiskFull: 'refuse' },
  }
  const running = await startRecorder(start)
  const proxy = await FakeProxy.connect(start.socket)
  let sent = 0
  const expired = () => {
    const index = openIndex(start.stateDir)
    const found = index.list({ kind: 'audit' }).map(({ bytes }) => parseLeaf(bytes))
    index.close()
    return found
  }
  while (expired().length === 0) {
    const call = await proxy.request({ body: Buffer.from(randomBytes(20_000).toString('base64')) })
    t.equal(call.reply.type, FrameType.Durable)
    proxy.respond(call.exchange)
    sent++
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.match(expired()[0], { event: 'content-expired', detail: { reason: 'size' } })
  await running.state(({ records }) => Number(records) > sent)
  t.equal(await running.stop(), 0)
  t.same(await damage(start), [])
})

t.test('why a pack is due, and how large packs may grow for it', async (t) => {
  const oldest = { pack: 1, lastLeaf: 7, lastTime: 1000 }
  const at = (now: number, size = 0, diskShort = false) => ({ now, size, diskShort })
  const due = (limits: object, given: ReturnType<typeof at>) =>
    dueFor(oldest, { whenDiskFull: 'refuse', ...limits }, given)
  t.equal(due({}, at(1e15, 1e15, true)), undefined, 'nothing goes where nothing is said')
  t.equal(due({ maxAgeMs: 500 }, at(1500)), undefined)
  t.equal(due({ maxAgeMs: 500 }, at(1501)), 'age')
  t.equal(due({ maxSize: 10 }, at(0, 10)), undefined)
  t.equal(due({ maxSize: 10 }, at(0, 11)), 'size')
  t.equal(due({ whenDiskFull: 'expire' }, at(0, 0, true)), 'disk')
  t.match(packLimits({ whenDiskFull: 'refuse' }), { packMs: 24 * HOUR, packBytes: 256 * MIB })
  t.match(packLimits({ maxAgeMs: 10 * HOUR, maxSize: 100 * MIB, whenDiskFull: 'refuse' }), {
    packMs: HOUR,
    packBytes: 10 * MIB,
  })
})

t.test('how much space is too little, on a disk of any size', async (t) => {
  const small = { total: 24 * MIB, free: 0 }
  const large = { total: 1e12, free: 0 }
  t.equal(reserveOf(large, undefined), 256 * MIB)
  t.ok(reserveOf(small, undefined) < MIB)
  const state = (free: number) => spaceState({ ...large, free: free * MIB }, undefined)
  t.same([2000, 1000, 500, 200].map(state), ['ample', 'low', 'scarce', 'short'])
  t.equal(spaceState({ ...large, free: 2000 * MIB }, 3000 * MIB), 'short', 'as set')
  t.equal(spaceState({ total: 0, free: 0 }, undefined), 'ample', 'a file system that says nothing')
  t.same(spaceHealth({ ...large, free: 2000 * MIB }, undefined), [])
  t.match(spaceHealth({ ...large, free: 1000 * MIB }, undefined), [
    { code: 'recorder.space', severity: 'warning' },
  ])
  t.match(spaceHealth({ ...large, free: 0 }, undefined), [{ severity: 'error', remedy: /Free space/ }])
  t.match(shortOf({ ...large, free: 5 * MIB }, undefined), {
    code: 'NO_SPACE',
    message: /no space.*5\.0 MiB.*256\.0 MiB/,
  })
})
