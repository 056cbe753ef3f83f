import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { type FileSystem, type OpenFile, realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { Connection } from '../../daemon/recorder/intake/connection.ts'
import { type FinaliseRequest, Intake } from '../../daemon/recorder/intake/intake.ts'
import { Journal, OPEN_MARK } from '../../daemon/recorder/intake/journal.ts'
import { decodeFrames } from '../../daemon/recorder/intake/journal-entry.ts'
import { recoverJournal } from '../../daemon/recorder/intake/recover.ts'
import type { LostSpan } from '../../daemon/recorder/intake/room.ts'
import { type Frame, FrameReader, FrameType } from '../../daemon/recorder/protocol.ts'
import { sealedName } from '../../daemon/recorder/sealed/files.ts'
import { SealedReader } from '../../daemon/recorder/sealed/sealed-reader.ts'
import {
  COMPLETE,
  frame,
  openPayload,
  REQUEST_HEAD,
  requestBody,
  temporaryDirectory,
} from './recorder-fixtures.ts'

const bodyKey = Buffer.alloc(32, 3)

/** The real file system, counting syncs, with a disk that can be full. */
function disk() {
  const state = { syncs: 0, writes: 0, full: false, failSync: false }
  const fault = (code: string) => Object.assign(new Error(`${code}: injected`), { code })
  const fs: FileSystem = {
    ...realFileSystem,
    async open(file, flags, mode) {
      const real = await realFileSystem.open(file, flags, mode)
      const wrapped: OpenFile = {
        fd: real.fd,
        async writev(buffers, position) {
          state.writes++
          if (state.full) {
            // A full disk takes what still fits.
            await real.writev([Buffer.from(buffers[0]!).subarray(0, 5)], position)
            throw fault('ENOSPC')
          }
          return real.writev(buffers, position)
        },
        sync: () => real.sync(),
        async datasync() {
          state.syncs++
          if (state.failSync) throw fault('EIO')
          await real.datasync()
        },
        truncate: (length) => real.truncate(length),
        stat: () => real.stat(),
        close: () => real.close(),
      }
      return wrapped
    },
  }
  return { fs, state }
}

const journals: Journal[] = []
t.teardown(() => Promise.all(journals.map((journal) => journal.close())))

async function intakeOn(dir: string, fs: FileSystem) {
  const journal = await Journal.open({ dir, bodyKey, fs }, [])
  journals.push(journal)
  const finalised: FinaliseRequest[] = []
  const lost: LostSpan[] = []
  const pauses: boolean[] = []
  const held: string[] = []
  const intake = new Intake(journal, {
    finalise: (request) => finalised.push(request),
    lost: (span) => lost.push(span),
    held: (id, _peer, exchange) => held.push(`${id} ${exchange}`),
    gone: () => held.push('gone'),
    pause: (paused) => pauses.push(paused),
  })
  const replies: { type: FrameType; exchange: number; payload: Buffer }[] = []
  const connection = new Connection(intake, {
    reply: (type, exchange, payload) => replies.push({ type, exchange, payload }),
  })
  const say = (...frames: Buffer[]) => {
    for (const one of new FrameReader().push(Buffer.concat(frames))) connection.frame(one)
  }
  return { journal, intake, connection, finalised, lost, pauses, held, replies, say }
}

const request = (exchange: number, id: string, body = 'hi') => [
  frame(FrameType.Open, exchange, openPayload({ id })),
  frame(FrameType.RequestHead, exchange, REQUEST_HEAD),
  frame(FrameType.RequestBody, exchange, requestBody(body)),
  frame(FrameType.RequestEnd, exchange),
]
const newId = () => openPayload().id

const segments = (dir: string) => readdirSync(dir).filter((name) => name !== OPEN_MARK)

function framesIn(dir: string): { id: string; types: number[] }[] {
  const found: { id: string; types: number[] }[] = []
  for (const name of segments(dir)) {
    const reader = new SealedReader(path.join(dir, name), bodyKey, 'journal', Number.parseInt(name, 10))
    for (const entry of reader.scan()) {
      if (!('plain' in entry)) throw new Error(entry.damage)
      const { id, frames } = decodeFrames(entry.plain)
      found.push({ id, types: frames.map(({ type }) => type) })
    }
    reader.close()
  }
  return found
}

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

t.test(
  'with too little space new exchanges are refused at once, and those that are open go on',
  async (t) => {
    const { fs } = disk()
    const { say, replies, intake, finalised, lost } = await intakeOn(temporaryDirectory(), fs)
    const open = newId()
    say(...request(1, open))
    await intake.drain()
    intake.room.refuse({ code: 'NO_SPACE', message: 'no space left for records' })
    const [first, ...rest] = request(2, newId())
    say(first!)
    t.match(replies[1], { type: FrameType.Failed, exchange: 2 }, 'before its body has come')
    t.match(JSON.parse(String(replies[1]?.payload)), { code: 'NO_SPACE' })
    say(...rest, frame(FrameType.End, 2, COMPLETE))
    say(frame(FrameType.ResponseBody, 1, Buffer.from('x')), frame(FrameType.End, 1, COMPLETE))
    intake.room.refuse({ code: 'NO_SPACE', message: 'still' })
    await new Promise((resolve) => setTimeout(resolve, 50))
    t.match(finalised, [{ id: open }])
    t.equal(finalised.length, 1)
    t.same(lost, [], 'the span is not over')
    intake.room.refuse(undefined)
    t.match(lost, [{ code: 'NO_SPACE', count: 1 }])
    say(...request(3, newId()))
    await intake.drain()
    t.match(replies.at(-1), { type: FrameType.Durable, exchange: 3 })
  },
)

t.test(
  'what takes more than the journal could hand on is cut, and what is small goes on beside it',
  async (t) => {
    const { fs } = disk()
    const { say, replies, intake, finalised, journal, lost } = await intakeOn(temporaryDirectory(), fs)
    const [large, small] = [newId(), newId()]
    const piece = Buffer.alloc(100_000)
    intake.room.measured(1_000_000)
    say(...request(1, small), frame(FrameType.Open, 2, openPayload({ id: large })))
    let sent = 0
    for (; replies.every(({ type }) => type !== FrameType.Failed); sent += piece.length) {
      say(frame(FrameType.RequestBody, 2, piece))
      await intake.drain()
    }
    t.ok(sent > 300_000 && sent <= 400_000, `a third of what was free: ${sent}`)
    t.match(JSON.parse(replies.at(-1)!.payload.toString()), { code: 'NO_SPACE', message: /no space left/ })
    say(frame(FrameType.End, 2, { outcome: 'not-recorded' }))
    say(frame(FrameType.ResponseBody, 1, Buffer.from('x')), frame(FrameType.End, 1, COMPLETE))
    await intake.drain()
    t.match(finalised, [
      { id: large, failure: { code: 'NO_SPACE' } },
      { id: small, failure: undefined },
    ])
    t.ok(journal.waiting > 300_000)
    for (const { ranges } of finalised) await journal.release(ranges)
    t.equal(journal.waiting, 0)
    intake.room.measured(100)
    say(...request(3, newId()))
    await intake.drain()
    t.match(replies.at(-1), { type: FrameType.Failed, exchange: 3 })
    intake.room.measured(Number.POSITIVE_INFINITY)
    say(...request(4, newId()))
    await intake.drain()
    t.match(lost, [{ code: 'NO_SPACE', count: 1 }], 'what left no record is told')
  },
)

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

t.test('segments go once their exchanges are finalised', async (t) => {
  const dir = temporaryDirectory()
  const { fs } = disk()
  const { say, intake, journal, finalised } = await intakeOn(dir, fs)
  const big = 'x'.repeat(900_000)
  for (let i = 1; i <= 6; i++) {
    say(...request(i, newId(), big), frame(FrameType.End, i, COMPLETE))
    await intake.drain()
  }
  t.same(segments(dir), [sealedName('journal', 1)])
  for (const { ranges } of finalised) await journal.release(ranges)
  say(...request(7, newId()))
  await intake.drain()
  t.same(segments(dir), [sealedName('journal', 2)], 'replaced, for it was large and nothing was open in it')
})

t.test('a segment that nobody needs goes also where nothing more is written', async (t) => {
  const dir = temporaryDirectory()
  const { fs } = disk()
  const { say, intake, journal, finalised } = await intakeOn(dir, fs)
  const body = Array.from({ length: 5 }, () => frame(FrameType.RequestBody, 1, Buffer.alloc(1 << 20)))
  say(frame(FrameType.Open, 1, openPayload()), ...body, frame(FrameType.End, 1, COMPLETE))
  await intake.drain()
  const [first] = segments(dir)
  intake.tidy()
  await intake.drain()
  t.same(segments(dir), [first], 'somebody does')
  for (const { ranges } of finalised) await journal.release(ranges)
  intake.tidy()
  await intake.drain()
  t.equal(segments(dir).length, 1)
  t.not(segments(dir)[0], first)
})

t.test('a stream that drips for days does not keep what others had from going', async (t) => {
  const dir = temporaryDirectory()
  const { say, replies, intake, journal, finalised } = await intakeOn(dir, realFileSystem)
  const [drip, young] = [newId(), newId()]
  say(...request(1, drip))
  const body = Array.from({ length: 8 }, () => frame(FrameType.RequestBody, 2, Buffer.alloc(1 << 20)))
  const others = async (count: number) => {
    for (let i = 0; i < count; i++) {
      say(frame(FrameType.Open, 2, openPayload()), ...body, frame(FrameType.End, 2, COMPLETE))
      say(frame(FrameType.ResponseBody, 1, Buffer.from('drip')))
      await intake.drain()
      for (const { ranges } of finalised.splice(0)) await journal.release(ranges)
    }
  }
  const failed = () => replies.filter(({ type }) => type === FrameType.Failed)
  await others(4)
  intake.relieve()
  t.same(failed(), [], 'one segment is what is written anyhow')
  await others(6)
  t.ok(journal.stuck > 60 << 20)
  say(...request(3, young))
  await intake.drain()
  intake.relieve()
  t.match(failed(), [{ exchange: 1 }], 'the oldest ends')
  t.match(JSON.parse(failed()[0]!.payload.toString()), { code: 'NO_SPACE', message: /oldest one, keeps 6\d/ })
  intake.relieve()
  t.equal(failed().length, 1, 'and no younger one as long as it has not')
  say(frame(FrameType.End, 1, { outcome: 'not-recorded' }))
  await intake.drain()
  t.match(finalised, [{ id: drip, failure: { code: 'NO_SPACE' } }])
  for (const { ranges } of finalised.splice(0)) await journal.release(ranges)
  t.equal(segments(dir).length, 1)
  intake.relieve()
  t.equal(failed().length, 1)
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
