import t from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { sealedName } from '../../daemon/recorder/sealed/files.ts'
import { COMPLETE, frame, openPayload, temporaryDirectory } from './recorder-fixtures.ts'

import { disk, intakeOn, newId, request, segments } from './recorder-intake-fixture.ts'

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
