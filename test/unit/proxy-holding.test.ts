/** Answers over HTTP/1.1 that are held until their records are anchored. */
import t, { type Test } from 'tap'
import type { HoldSettings } from '../../daemon/proxy/holding/holds.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { answering, type Rig, type RigOptions, reading, rulesOf, startRig } from './proxy-rig.ts'

const hold: HoldSettings = { level: 'included', maxMs: 60_000, onFailure: 'block' }
const post = (body: string, target = '/v1/chat/completions') =>
  `POST ${target} HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const json = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const answer = json('{"choices":[]}')

async function rigOf(t: Test, options: Partial<RigOptions> = {}): Promise<Rig> {
  const rig = await startRig({ provider: answering(() => answer), hold, ...options })
  t.teardown(() => rig.stop())
  return rig
}

/** The number of the nth exchange that ended. */
const ended = async (rig: Rig, n = 0): Promise<number> => {
  const exchange = await rig.recorder.ended(n)
  return exchange.frames[0]?.exchange as number
}
/** Lets everything that is on its way arrive. */
const settle = (ms = 60) => new Promise((resolve) => setTimeout(resolve, ms))
const until = async (holds: () => boolean) => {
  for (let i = 0; i < 500 && !holds(); i++) await settle(10)
}

t.test('nothing of an answer reaches the agent before its record is anchored', async (t) => {
  const rig = await rigOf(t)
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('{}'))
  const exchange = await ended(rig)
  await settle()
  t.equal(got.text, '', 'not a byte')
  const { end, responseBody } = rig.recorder.exchange(exchange)
  t.match(end, { outcome: 'complete', hold: true })
  t.equal(responseBody.toString(), '{"choices":[]}', 'the record has it')
  t.match(rig.worker.state(), { holding: 1, held: 1, undelivered: 0 })
  rig.recorder.reach(exchange)
  await got.until('"choices"')
  t.equal(got.text, answer, 'byte for byte, nothing added')
  t.match(rig.worker.state(), { holding: 0, undelivered: 0 })
})

t.test('a stream is held whole, also where its events come one by one', async (t) => {
  const rig = await rigOf(t, {
    provider: answering((_, socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
      const events = ['data: one\n\n', 'data: two\n\n', 'data: [DONE]\n\n']
      for (const [i, event] of events.entries())
        setTimeout(() => socket.write(`${event.length.toString(16)}\r\n${event}\r\n`), 10 * i)
      setTimeout(() => socket.write('0\r\n\r\n'), 50)
      return undefined
    }),
  })
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('{"stream":true}'))
  const exchange = await ended(rig)
  await settle()
  t.equal(got.text, '')
  rig.recorder.reach(exchange)
  await got.until('0\r\n\r\n')
  t.match(got.text, /data: one\n\n[\s\S]*data: two\n\n[\s\S]*\[DONE\]/)
  t.notMatch(got.text, /^:/m, 'no comment to keep it alive')
})

t.test('an informational answer isn’t held', async (t) => {
  const rig = await rigOf(t, {
    provider: answering(() => `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${answer}`),
  })
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('{}'))
  await got.until('103 Early Hints')
  const exchange = await ended(rig)
  t.notMatch(got.text, '200 OK')
  rig.recorder.reach(exchange)
  await got.until('"choices"')
})

t.test('the connection goes on afterwards, and what was sent ahead is answered in its turn', async (t) => {
  let calls = 0
  const rig = await rigOf(t, { provider: answering(() => json(`answer ${++calls}`)) })
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('one') + post('two'))
  rig.recorder.reach(await ended(rig))
  await got.until('answer 1')
  const second = await ended(rig, 1)
  t.notMatch(got.text, 'answer 2')
  rig.recorder.reach(second)
  await got.until('answer 2')
  t.equal(rig.provided.length, 1, 'the provider’s connection was free again meanwhile')
})

t.test('time runs out: the agent hears why, in its provider’s shape, and it is evidence', async (t) => {
  const rig = await rigOf(t, { hold: { ...hold, maxMs: 1 } })
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('{}'))
  await got.until('end')
  t.match(got.text, /^HTTP\/1\.1 424 /)
  t.notMatch(got.text, '"choices"')
  t.match(JSON.parse(got.text.split('\r\n\r\n')[1] as string), {
    error: {
      code: 'answer_not_anchored',
      message: /not handed out: the record of it was not included within/,
    },
  })
  const exchange = await ended(rig)
  t.equal(rig.recorder.exchange(exchange).end?.outcome, 'complete', 'the provider did answer')
  await rig.recorder.until(() => rig.recorder.refusals().length > 0)
  const { id } = rig.recorder.exchange(exchange).open as { id: string }
  t.match(rig.recorder.refusals(), [{ rule: 'anchoring/held', reason: new RegExp(id) }])
  t.match(rig.worker.state(), { holding: 0, undelivered: 1 })
})

t.test('with `queue` the answer goes out when time is up, and that is counted', async (t) => {
  const rig = await rigOf(t, { hold: { ...hold, maxMs: 1, onFailure: 'queue' } })
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('{}'))
  await got.until('"choices"')
  t.equal(got.text, answer)
  t.match(rig.worker.state(), { holding: 0, undelivered: 0, early: 1 })
})

t.test('the recorder is lost while an answer is held: the agent gets an error, not the answer', async (t) => {
  const rig = await rigOf(t)
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('{}'))
  await ended(rig)
  for (const socket of rig.recorder.sockets) socket.destroy()
  await got.until('end')
  t.match(got.text, /^HTTP\/1\.1 424 [\s\S]*the recorder was lost/)
  await rig.recorder.until(() => rig.recorder.refusals().length > 0)
  t.match(rig.recorder.refusals(), [{ rule: 'anchoring/held', reason: /the recorder was lost/ }])
})

t.test('an agent that leaves meanwhile did not get the answer, which is evidence too', async (t) => {
  const rig = await rigOf(t)
  const agent = await rig.agent()
  agent.write(post('{}'))
  await ended(rig)
  rig.accepted[0]?.destroy()
  await rig.recorder.until(() => rig.recorder.refusals().length > 0)
  t.match(rig.recorder.refusals(), [{ rule: 'anchoring/held', reason: /the agent is gone/ }])
  await until(() => rig.worker.state().holding === 0)
  t.match(rig.worker.state(), { holding: 0, undelivered: 1 })
})

t.test('of an answer longer than may be held, the end is held', async (t) => {
  const size = 6 << 20
  const rig = await rigOf(t, {
    provider: answering((_, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      for (let sent = 0; sent < size; sent += 1 << 20) socket.write(Buffer.alloc(1 << 20, 'x'))
      return undefined
    }),
  })
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('{}'))
  const exchange = await ended(rig)
  await got.until(size - (4 << 20) - 65536)
  await settle(100)
  t.ok(got.bytes.length < size - (3 << 20), `${got.bytes.length} of ${size} bytes went ahead`)
  rig.recorder.reach(exchange)
  await got.until(size)
})

t.test('where much is held, providers are not read, and are again when there is room', async (t) => {
  const sizes = [200 * 1024, 2 << 20]
  let calls = 0
  const rig = await rigOf(t, {
    maxHeld: 256 * 1024,
    provider: answering((_, socket) => {
      const size = sizes[calls++] as number
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      socket.write(Buffer.alloc(size, 'x'))
      return undefined
    }),
  })
  const first = await rig.agent()
  const got = reading(first)
  first.write(post('{}'))
  const exchange = await ended(rig)
  const second = await rig.agent()
  const more = reading(second)
  second.write(post('{}'))
  const bodies = () => rig.recorder.frames.filter(({ type }) => type === FrameType.ResponseBody).length
  await until(() => rig.worker.state().holding === 2)
  await settle(200)
  const read = bodies()
  t.equal(rig.recorder.frames.filter(({ type }) => type === FrameType.End).length, 1)
  t.equal(got.text + more.text, '', 'nothing goes out early for that')
  rig.recorder.reach(exchange)
  await got.until(sizes[0] as number)
  await until(() => bodies() > read)
  t.ok(bodies() > read, 'the other one is read on')
  t.match(rig.worker.state(), { holding: 1 })
  for (const socket of rig.accepted) socket.destroy()
})

t.test('no room comes in time: that call ends with an error', async (t) => {
  const size = 4 << 20
  const rig = await rigOf(t, {
    maxHeld: 128 * 1024,
    hold: { ...hold, maxMs: 1 },
    provider: answering((_, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      socket.write(Buffer.alloc(size, 'x'))
      return undefined
    }),
  })
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('{}'))
  await got.until('end')
  t.match(got.text, /^HTTP\/1\.1 424 /)
  t.match((await rig.recorder.ended()).end, { outcome: 'blocked', error: { code: 'answer_not_anchored' } })
  t.equal(rig.worker.state().holding, 0)
})

t.test(
  'calls are refused while anchoring is behind, recorded as refusals, and go on by themselves',
  async (t) => {
    const rig = await rigOf(t, { hold: undefined })
    rig.recorder.admit({ refused: 'the oldest record without an anchor is 700 s old, 600 s are allowed' })
    await settle()
    const agent = await rig.agent()
    const got = reading(agent)
    agent.write(post('{"model":"x"}'))
    await got.until('end')
    t.match(got.text, /^HTTP\/1\.1 503 /)
    t.match(JSON.parse(got.text.split('\r\n\r\n')[1] as string), {
      error: { code: 'anchoring_behind', type: 'server_error', message: /700 s old/ },
    })
    await rig.recorder.until(() => rig.recorder.refusals().length > 0)
    t.match(rig.recorder.refusals(), [{ rule: 'anchoring/blocked', serverName: 'api.openai.com' }])
    t.notOk(
      rig.recorder.frames.some(({ type }) => type === FrameType.Open),
      'no exchange is begun',
    )
    t.equal(rig.worker.state().refused, 1)
    rig.recorder.admit({})
    await settle()
    const again = await rig.agent()
    const second = reading(again)
    again.write(post('{}'))
    await second.until('"choices"')
  },
)

t.test('what the policy forwards without a record waits for none', async (t) => {
  const rules = rulesOf('standard', { proxy: { unrecorded: 'forward' } })
  const rig = await rigOf(t, { rules })
  rig.recorder.mode = 'failed'
  const agent = await rig.agent()
  const got = reading(agent)
  agent.write(post('{}'))
  await got.until('"choices"')
  t.equal(rig.worker.state().unrecorded, 1)
})
