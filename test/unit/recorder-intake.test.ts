import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { Connection } from '../../daemon/recorder/intake/connection.ts'
import { recoverJournal } from '../../daemon/recorder/intake/recover.ts'
import { type Frame, FrameReader, FrameType } from '../../daemon/recorder/protocol.ts'
import { sealedName } from '../../daemon/recorder/sealed/files.ts'
import { COMPLETE, frame, openPayload, REQUEST_HEAD, temporaryDirectory } from './recorder-fixtures.ts'
import { bodyKey, disk, framesIn, intakeOn, newId, request, segments } from './recorder-intake-fixture.ts'

t.test('a request is in the journal, synced, before it is acknowledged', async (t) => {
  const dir = temporaryDirectory()
  const { fs, state } = disk()
  const { say, replies, intake, journal } = await intakeOn(dir, fs)
  const id = newId()
  const before = state.syncs
  say(...request(7, id))
  t.same(replies, [], 'nothing is said in the same turn')
  await intake.drain()
  t.equal(state.syncs, before + 1)
  t.same(
    replies.map(({ type, exchange }) => [type, exchange]),
    [[FrameType.Durable, 7]],
  )
  t.same(framesIn(dir), [{ id, types: [1, 2, 3, 4] }], 'the turn is one entry')
  t.notOk(journal.dirty)
})

t.test('a hundred requests of one turn share one sync', async (t) => {
  const { fs, state } = disk()
  const { say, replies, intake } = await intakeOn(temporaryDirectory(), fs)
  const before = { ...state }
  for (let i = 1; i <= 100; i++) say(...request(i, newId()))
  await intake.drain()
  t.equal(replies.length, 100)
  t.equal(state.syncs - before.syncs, 1)
  t.equal(state.writes - before.writes, 1)
})

t.test('frames that nobody waits for are not synced at once', async (t) => {
  const { fs, state } = disk()
  const { say, intake, journal } = await intakeOn(temporaryDirectory(), fs)
  say(...request(1, newId()))
  await intake.drain()
  const before = state.syncs
  say(frame(FrameType.ResponseBody, 1, Buffer.from('data: x\n\n')))
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(state.syncs, before)
  t.ok(journal.dirty)
  await new Promise((resolve) => setTimeout(resolve, 1200))
  t.notOk(journal.dirty, 'but within a second or so')
})

t.test('a full disk fails the request with its reason, and the next one succeeds', async (t) => {
  const dir = temporaryDirectory()
  const { fs, state } = disk()
  const { say, replies, intake, finalised, lost } = await intakeOn(dir, fs)
  const first = newId()
  const third = newId()
  say(...request(1, first))
  await intake.drain()
  state.full = true
  say(...request(2, newId()))
  await intake.drain()
  t.equal(replies[1]?.type, FrameType.Failed)
  const failure = JSON.parse(replies[1]!.payload.toString()) as { code: string; message: string }
  t.equal(failure.code, 'ENOSPC')
  t.match(failure.message, /injected/)
  t.same(
    framesIn(dir).map(({ id }) => id),
    [first],
    'the part that the disk took is cut off at once',
  )
  t.equal(lost.length, 1, 'what is lost is told once the connection drained')
  state.full = false
  say(frame(FrameType.End, 2, { outcome: 'not-recorded' }))
  say(...request(3, third))
  await intake.drain()
  t.equal(replies[2]?.type, FrameType.Durable)
  t.same(
    framesIn(dir).map(({ id }) => id),
    [first, third],
    'nothing of the failed append is left',
  )
  t.same(finalised, [])
})

t.test('health says that the journal cannot be written, until it can', async (t) => {
  const { fs, state } = disk()
  const { say, intake, lost } = await intakeOn(temporaryDirectory(), fs)
  state.full = true
  say(...request(1, newId()), ...request(2, newId()))
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.match(intake.health()[0], { code: 'recorder.journal', severity: 'error', title: /ENOSPC/ })
  state.full = false
  say(...request(3, newId()))
  await intake.drain()
  t.same(intake.health(), [])
  t.match(lost, [{ code: 'ENOSPC', count: 2 }])
})

t.test('a sync that fails is never repeated on the same file', async (t) => {
  const dir = temporaryDirectory()
  const { fs, state } = disk()
  const { say, replies, intake } = await intakeOn(dir, fs)
  state.failSync = true
  say(...request(1, newId()))
  await intake.drain()
  t.equal(replies[0]?.type, FrameType.Failed)
  state.failSync = false
  say(...request(2, newId()))
  await intake.drain()
  t.equal(replies[1]?.type, FrameType.Durable)
  t.same(segments(dir), [sealedName('journal', 2)])
})

t.test('a response that can no longer be written ends its exchange with the reason', async (t) => {
  const { fs, state } = disk()
  const { say, replies, intake, finalised } = await intakeOn(temporaryDirectory(), fs)
  const id = newId()
  say(...request(1, id))
  await intake.drain()
  state.full = true
  say(frame(FrameType.ResponseBody, 1, Buffer.from('x')))
  await intake.drain()
  t.equal(replies[1]?.type, FrameType.Failed)
  say(frame(FrameType.End, 1, COMPLETE))
  await intake.drain()
  t.match(finalised, [{ id, failure: { code: 'ENOSPC' } }])
})

t.test('the end of a connection ends its open exchanges', async (t) => {
  const { fs } = disk()
  const { say, connection, intake, finalised } = await intakeOn(temporaryDirectory(), fs)
  const ids = [newId(), newId()]
  say(...request(1, ids[0]!), ...request(2, ids[1]!))
  connection.close()
  await intake.drain()
  t.same(
    finalised.map(({ id }) => id),
    ids,
  )
})

t.test(
  'an end that comes while earlier frames are being written finishes once, with all of its frames',
  async (t) => {
    const dir = temporaryDirectory()
    const { fs } = disk()
    const { say, finalised, intake } = await intakeOn(dir, fs)
    const id = newId()
    say(...request(5, id))
    // The first commit is under way, its write not back yet.
    await new Promise((resolve) => setImmediate(resolve))
    say(frame(FrameType.ResponseHead, 5), frame(FrameType.ResponseBody, 5), frame(FrameType.End, 5, COMPLETE))
    await intake.drain()
    t.equal(finalised.length, 1)
    t.equal(finalised[0]?.ranges.length, 6, 'two entries: both commits')
    t.same(
      framesIn(dir).flatMap(({ types }) => types.filter((type) => type !== FrameType.Durable)),
      [1, 2, 3, 4, 5, 6, 7],
    )
  },
)

t.test('senders are held back while the disk is behind', async (t) => {
  const { fs } = disk()
  const { say, intake, pauses } = await intakeOn(temporaryDirectory(), fs)
  say(frame(FrameType.Open, 1, openPayload()))
  const chunk = Buffer.alloc(1 << 20)
  for (let i = 0; i < 20; i++) say(frame(FrameType.RequestBody, 1, chunk))
  t.same(pauses, [true])
  await intake.drain()
  t.same(pauses, [true, false])
})

t.test('a restart finds every acknowledged exchange again, and what ended', async (t) => {
  const dir = temporaryDirectory()
  const { say, intake } = await intakeOn(dir, realFileSystem)
  const ended = newId()
  const open = newId()
  say(...request(1, ended), frame(FrameType.End, 1, COMPLETE), ...request(2, open))
  await intake.drain()
  const recovered = recoverJournal(dir, bodyKey)
  t.ok(recovered.unclean)
  t.same(
    [...recovered.exchanges].map(([id, { ended }]) => [id, ended]),
    [
      [ended, true],
      [open, false],
    ],
  )
  const segment = path.join(dir, sealedName('journal', 1))
  const whole = readFileSync(segment)
  writeFileSync(segment, whole.subarray(0, whole.length - 3))
  const torn = recoverJournal(dir, bodyKey)
  t.same([...torn.exchanges.keys()], [ended])
  t.match(torn.cuts, [{ file: sealedName('journal', 1), what: /incomplete/ }])
  const rotten = Buffer.from(whole)
  rotten[100]! ^= 1
  writeFileSync(segment, rotten)
  const rot = recoverJournal(dir, bodyKey)
  t.same([...rot.exchanges.keys()], [open], 'what stands behind the rot is found')
  t.match(rot.cuts, [{ offset: 56 }])
  rmSync(segment)
  t.ok(recoverJournal(dir, bodyKey).unclean, 'segments that somebody took away leave their mark')
})

t.test('a clean end leaves no segment', async (t) => {
  const dir = temporaryDirectory()
  const { intake, journal } = await intakeOn(dir, realFileSystem)
  await intake.drain()
  await journal.close()
  t.same(readdirSync(dir), [])
  t.notOk(recoverJournal(dir, bodyKey).unclean)
})

t.test('malformed frames are refused', async (t) => {
  const { say } = await intakeOn(temporaryDirectory(), realFileSystem)
  const id = newId()
  const refused = (what: RegExp, ...frames: Buffer[]) =>
    t.throws(() => say(...frames), { code: 'MALFORMED', message: what })
  refused(/not open/, frame(FrameType.RequestHead, 1, REQUEST_HEAD))
  refused(/frame type 1/, frame(FrameType.Open, 1, { id: 'x' }))
  refused(/frame type 1/, frame(FrameType.Open, 1, { ...openPayload(), more: 1 }))
  refused(/no JSON/, frame(FrameType.Open, 1, Buffer.from('{')))
  refused(/from a proxy/, frame(FrameType.Durable, 1))
  refused(/no number/, frame(FrameType.Open, 1, openPayload(), Number.NaN))
  say(...request(1, id))
  refused(/number that is in use/, frame(FrameType.Open, 1, openPayload()))
  refused(/id that is in use/, frame(FrameType.Open, 2, openPayload({ id })))
  refused(/before the last one was answered/, frame(FrameType.RequestEnd, 1))
  t.throws(() => new FrameReader().push(Buffer.from([0xff, 0xff, 0xff, 0xff])), { code: 'FRAME_TOO_LONG' })
  t.throws(() => new FrameReader().push(Buffer.from([0, 0, 0, 1])), { code: 'FRAME_TOO_SHORT' })
  t.throws(() => new FrameReader().push(Buffer.from([0, 0, 0, 20, 99])), { code: 'UNKNOWN_FRAME' })
})

t.test('frames come out the same however the stream is cut', async (t) => {
  const sent = Buffer.concat([
    ...request(1, newId()),
    frame(FrameType.ResponseBody, 1, Buffer.alloc(5000, 1)),
  ])
  const whole = new FrameReader().push(sent)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 40 }), (cuts) => {
      const reader = new FrameReader()
      const got: Frame[] = []
      let at = 0
      for (const cut of [...cuts, sent.length]) {
        got.push(...reader.push(sent.subarray(at, at + cut)))
        at += cut
      }
      return (
        got.length === whole.length &&
        got.every((f, i) => f.type === whole[i]!.type && f.payload.equals(whole[i]!.payload))
      )
    }),
    { numRuns: 100 },
  )
  t.pass()
})

t.test('no sequence of bytes or frames crashes the intake', async (t) => {
  const { intake } = await intakeOn(temporaryDirectory(), realFileSystem)
  const expected = new Set(['MALFORMED', 'FRAME_TOO_LONG', 'FRAME_TOO_SHORT', 'UNKNOWN_FRAME'])
  const someFrame = fc
    .tuple(
      fc.constantFrom(...Object.values(FrameType)),
      fc.integer({ min: 0, max: 3 }),
      fc.oneof(
        fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
        fc.json().map((json) => Buffer.from(json)),
        fc.constant(Buffer.from('{}')).map((empty) => empty),
        fc.constant(0).map(() => Buffer.from(JSON.stringify(openPayload()))),
        fc.constant(Buffer.from(JSON.stringify(COMPLETE))),
      ),
      fc.double(),
    )
    .map(([type, exchange, payload, time]) => frame(type, exchange, payload, time))
  const anything = fc.oneof(
    fc.array(someFrame, { maxLength: 12 }).map((frames) => Buffer.concat(frames)),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  )
  fc.assert(
    fc.property(anything, (bytes) => {
      const connection = new Connection(intake, { reply: () => {} })
      try {
        for (const one of new FrameReader().push(bytes)) connection.frame(one)
      } catch (error) {
        if (!expected.has((error as { code: string }).code)) throw error
      }
      connection.close()
    }),
    { numRuns: 1500 },
  )
  await intake.drain()
  t.pass()
})

t.test(
  'whoever holds an answer is told of by its record’s id, and forgotten with its connection',
  async (t) => {
    const { fs } = disk()
    const { say, held, finalised, intake, connection } = await intakeOn(temporaryDirectory(), fs)
    const [first, second] = [newId(), newId()]
    say(...request(1, first), ...request(2, second))
    await intake.drain()
    say(frame(FrameType.End, 1, { ...COMPLETE, hold: true }), frame(FrameType.End, 2, COMPLETE))
    t.same(held, [`${first} 1`], 'only who asks for it')
    await intake.drain()
    t.same(finalised.map(({ id }) => id).toSorted(), [first, second].toSorted())
    connection.close()
    t.same(held.at(-1), 'gone')
    t.throws(
      () => say(frame(FrameType.Reached, 2)),
      { code: 'MALFORMED' },
      'no proxy says what the recorder does',
    )
  },
)
