/** Answers over HTTP/2 that are held until their records are anchored. */
import t, { type Test } from 'tap'
import type { HoldSettings } from '../../daemon/proxy/holding/holds.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { answered, h2Agent, type Serve, startH2Rig } from './h2-rig.ts'
import type { Rig, RigOptions } from './proxy-rig.ts'

const hold: HoldSettings = { level: 'included', maxMs: 60_000, onFailure: 'block' }
const target = { ':method': 'POST', ':path': '/v1/chat/completions' }
const settle = (ms = 80) => new Promise((resolve) => setTimeout(resolve, ms))

async function rigOf(t: Test, serve: Serve, options: Partial<RigOptions> = {}) {
  const rig = await startH2Rig(serve, { hold, ...options })
  t.teardown(() => rig.stop())
  return rig
}
const ended = async (rig: Rig, n = 0) => {
  const exchange = await rig.recorder.ended(n)
  return exchange.frames[0]?.exchange as number
}

t.test('nothing of an answer comes before its record is anchored, its trailers with it', async (t) => {
  const rig = await rigOf(t, (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'text/event-stream' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-last': 'yes' }))
    stream.write('data: one\n\n')
    setTimeout(() => stream.end('data: two\n\n'), 20)
  })
  const session = await h2Agent(rig)
  const stream = session.request(target)
  let seen = 0
  stream.on('response', () => seen++)
  stream.on('data', () => seen++)
  const whole = answered(stream)
  stream.end('{}')
  const exchange = await ended(rig)
  await settle()
  t.equal(seen, 0, 'not even its head')
  t.match(rig.recorder.exchange(exchange).end, { outcome: 'complete', hold: true })
  t.match(rig.worker.state(), { holding: 1 })
  rig.recorder.reach(exchange)
  const { headers, body, trailers } = await whole
  t.equal(headers[':status'], 200)
  t.equal(body.toString(), 'data: one\n\ndata: two\n\n')
  t.match(trailers, { 'x-last': 'yes' })
  t.equal(rig.worker.state().holding, 0)
  session.close()
})

t.test(
  'an answer longer than the agent’s window is held whole, and then comes as the agent takes it',
  async (t) => {
    const body = Buffer.alloc(1 << 20, 'answer of some length, ')
    const rig = await rigOf(t, (stream) => {
      stream.respond({ ':status': 200 })
      stream.end(body)
    })
    const session = await h2Agent(rig, { settings: { initialWindowSize: 65_535 } })
    for (let i = 0; i < 2; i++) {
      const stream = session.request(target)
      let seen = 0
      stream.on('data', (bytes: Buffer) => {
        seen += bytes.length
      })
      const whole = answered(stream)
      stream.end('{}')
      const exchange = await ended(rig, i)
      await settle()
      t.equal(seen, 0)
      t.equal(rig.recorder.exchange(exchange).responseBody.length, body.length, 'the record has all of it')
      rig.recorder.reach(exchange)
      const got = await whole
      t.ok(got.body.equals(body), `byte for byte, and the windows still add up (${i + 1})`)
    }
    session.close()
  },
)

t.test('each stream waits for itself only', async (t) => {
  const rig = await rigOf(t, (stream, headers) => {
    stream.respond({ ':status': 200 })
    stream.end(`answer to ${headers['x-n']}`)
  })
  const session = await h2Agent(rig)
  const call = (n: number) => {
    const stream = session.request({ ...target, 'x-n': String(n) })
    const whole = answered(stream)
    stream.end('{}')
    return whole
  }
  const first = call(1)
  const one = await ended(rig)
  const second = call(2)
  rig.recorder.reach(await ended(rig, 1))
  t.equal((await second).body.toString(), 'answer to 2')
  t.match(rig.worker.state(), { holding: 1 })
  rig.recorder.reach(one)
  t.equal((await first).body.toString(), 'answer to 1')
  session.close()
})

t.test('time runs out: the stream is answered with the reason', async (t) => {
  const rig = await rigOf(
    t,
    (stream) => {
      stream.respond({ ':status': 200 })
      stream.end('secret answer')
    },
    { hold: { ...hold, maxMs: 1 } },
  )
  const session = await h2Agent(rig)
  const stream = session.request(target)
  const whole = answered(stream)
  stream.end('{}')
  const { headers, body } = await whole
  t.equal(headers[':status'], 424)
  t.match(JSON.parse(body.toString()), { error: { code: 'answer_not_anchored' } })
  await rig.recorder.until(() => rig.recorder.refusals().length > 0)
  t.match(rig.recorder.refusals(), [{ rule: 'anchoring/held' }])
  session.close()
})

t.test('the provider goes away while its answer is held: the agent gets it all the same', async (t) => {
  const rig = await rigOf(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end('the answer')
  })
  const session = await h2Agent(rig)
  const stream = session.request(target)
  const whole = answered(stream)
  stream.end('{}')
  const exchange = await ended(rig)
  for (const socket of rig.provided) socket.destroy()
  await settle()
  rig.recorder.reach(exchange)
  t.equal((await whole).body.toString(), 'the answer')
  session.close()
})

t.test('an agent that gives the stream up meanwhile did not get the answer', async (t) => {
  const rig = await rigOf(t, (stream) => {
    stream.respond({ ':status': 200 })
    stream.end('the answer')
  })
  const session = await h2Agent(rig)
  const stream = session.request(target)
  stream.on('error', () => {})
  stream.end('{}')
  await ended(rig)
  stream.close(8)
  await rig.recorder.until(() => rig.recorder.refusals().length > 0)
  t.match(rig.recorder.refusals(), [{ rule: 'anchoring/held', reason: /the agent is gone/ }])
  t.match(rig.worker.state(), { holding: 0, undelivered: 1 })
  session.close()
})

t.test('too much is held: that stream’s provider waits for room, others go on', async (t) => {
  const size = 1 << 20
  const rig = await rigOf(
    t,
    (stream, headers) => {
      stream.respond({ ':status': 200 })
      stream.end(headers['x-small'] ? 'small' : Buffer.alloc(size, 'x'))
    },
    { maxHeld: 256 * 1024 },
  )
  const session = await h2Agent(rig)
  const long = session.request(target)
  const whole = answered(long)
  long.end('{}')
  await settle(150)
  t.notOk(rig.recorder.frames.some(({ type }) => type === FrameType.End))
  const short = session.request({ ...target, 'x-small': '1' })
  const small = answered(short)
  short.end('{}')
  rig.recorder.reach(await ended(rig))
  t.equal((await small).body.toString(), 'small')
  long.close(8)
  await whole.catch(() => {})
  await rig.recorder.ended(1)
  t.equal(rig.worker.state().holding, 0)
  session.close()
})

t.test('calls are refused while anchoring is behind', async (t) => {
  let served = 0
  const rig = await rigOf(t, (stream) => {
    served += 1
    stream.respond({ ':status': 200 })
    stream.end('x')
  })
  rig.recorder.admit({ refused: 'the oldest record is too old' })
  await settle()
  const session = await h2Agent(rig)
  const stream = session.request(target)
  const whole = answered(stream)
  stream.end('{}')
  const { headers, body } = await whole
  t.equal(headers[':status'], 503)
  t.match(JSON.parse(body.toString()), { error: { code: 'anchoring_behind' } })
  await rig.recorder.until(() => rig.recorder.refusals().length > 0)
  t.match(rig.recorder.refusals(), [{ rule: 'anchoring/blocked' }])
  t.equal(served, 0)
  session.close()
})
