/** A WebSocket on a stream of HTTP/2 (RFC 8441): one record a turn, as over HTTP/1.1. */
import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2'
import t, { type Test } from 'tap'
import { CODE, TYPE } from '../../daemon/proxy/h2/frame.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import { messagesOf } from '../../daemon/recorder/web-socket-body.ts'
import { answered, ask, ByHand, h2Agent, startH2Rig } from './h2-rig.ts'
import { NAME, type Recorded, rulesOf } from './proxy-rig.ts'

const PATH = '/v1/realtime?model=gpt-realtime'
const opening = (more: Record<string, string> = {}) => ({
  ':authority': NAME,
  ':scheme': 'https',
  ':method': 'CONNECT',
  ':protocol': 'websocket',
  ':path': PATH,
  'sec-websocket-version': '13',
  authorization: 'Bearer sk-secret',
  ...more,
})

const models = () => {
  const { ':protocol': _, ...fields } = opening()
  return { ...fields, ':method': 'GET', ':path': '/v1/models' }
}

const MASK = Buffer.from([7, 1, 2, 3])

/** A frame as a client sends it, or, without a mask, a server. */
function said(content: string | Buffer, masked: boolean, opcode = 1): Buffer {
  const payload = Buffer.from(content)
  const long = payload.length > 125
  const head = Buffer.from([0x80 | opcode, (masked ? 0x80 : 0) | (long ? 126 : payload.length)])
  const length = long ? Buffer.from([payload.length >> 8, payload.length & 0xff]) : Buffer.alloc(0)
  if (!masked) return Buffer.concat([head, length, payload])
  return Buffer.concat([head, length, MASK, payload.map((byte, i) => byte ^ (MASK[i % 4] as number))])
}

const closing = (masked: boolean) => said(Buffer.from([1000 >> 8, 1000 & 0xff]), masked, 8)

const CREATED = JSON.stringify({ type: 'session.created' })
const RESPONSE = [
  JSON.stringify({ type: 'response.created', response: { id: 'r' } }),
  JSON.stringify({ type: 'response.done', response: { id: 'r', status: 'completed' } }),
]
const CREATE = JSON.stringify({ type: 'response.create' })

const texts = (body: Buffer) =>
  [...messagesOf(body)].map(({ kind, bytes }) =>
    kind === 'close' ? `close ${bytes.readUInt16BE()}` : bytes.toString('latin1'),
  )
/** A provider that answers each `response.create` with a response, as the realtime interface does. */
async function start(t: Test, more: Partial<Parameters<typeof startH2Rig>[1]> = {}, status = 200) {
  const got: Buffer[] = []
  const rig = await startH2Rig(
    (stream: ServerHttp2Stream, headers) => {
      if (headers[':method'] !== 'CONNECT') {
        stream.respond({ ':status': 200 }, { endStream: true })
        return
      }
      stream.respond({ ':status': status })
      stream.write(said(CREATED, false))
      if (headers['x-ends'] === 'first') stream.end()
      stream.on('data', (bytes: Buffer) => {
        got.push(bytes)
        if (bytes[0] === 0x88) stream.end(closing(false))
        else if (stream.writable) for (const text of RESPONSE) stream.write(said(text, false))
      })
      stream.on('end', () => stream.end())
    },
    { settings: { enableConnectProtocol: true }, ...more },
  )
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig)
  if (!agent.remoteSettings?.enableConnectProtocol)
    await new Promise((go) => agent.once('remoteSettings', go))
  const turns = async (count: number): Promise<Recorded[]> => {
    for (let n = 0, found: Recorded[] = []; ; n++) {
      const recorded = await rig.recorder.ended(n)
      if (recorded.open.webSocket) found = [...found, recorded]
      if (found.length === count) return found
    }
  }
  return { rig, agent, turns, got: () => Buffer.concat(got) }
}

const received = (stream: ClientHttp2Stream, size: number): Promise<Buffer> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = []
    stream.on('data', (bytes: Buffer) => {
      chunks.push(bytes)
      const whole = Buffer.concat(chunks)
      if (whole.length >= size) resolve(whole)
    })
  })

const turnBytes = Buffer.concat(RESPONSE.map((text) => said(text, false)))

t.test('records one exchange a turn, the handshake as one of its own; others go on beside it', async (t) => {
  const { rig, agent, turns, got } = await start(t)
  const stream = agent.request(opening(), { endStream: false })
  const whole = answered(stream)
  const first = received(stream, CREATED.length)
  await new Promise((resolve) => stream.once('response', resolve))
  const handshake = await rig.recorder.ended(0)
  t.match(handshake.end, { outcome: 'complete', upstream: { address: '127.0.0.1' } })
  t.match(handshake.requestHead, /:protocol: websocket\r\n/)
  await first
  for (const n of [1, 2]) {
    stream.write(said(CREATE, true))
    const turn = (await turns(n)).at(-1) as Recorded
    t.same(texts(turn.requestBody), [CREATE])
    t.same(texts(turn.responseBody), n === 1 ? [CREATED, ...RESPONSE] : RESPONSE)
    t.match(turn.open.webSocket, { connection: handshake.open.id, turn: n })
    t.match(turn.end, { outcome: 'complete', webSocket: { messages: { client: 1 } } })
    t.match(turn.requestHead, /:path: \/v1\/realtime\?model=gpt-realtime\r\n/)
    t.match(turn.responseHead, /^:status: 200\r\n/)
    t.equal((await ask(agent, models())).headers[':status'], 200)
  }
  stream.end(closing(true))
  const { body, code } = await whole
  t.equal(code, 0)
  t.same(body, Buffer.concat([said(CREATED, false), turnBytes, turnBytes, closing(false)]))
  t.same(got(), Buffer.concat([said(CREATE, true), said(CREATE, true), closing(true)]))
  const last = (await turns(3)).at(-1) as Recorded
  t.match(last.end, { outcome: 'complete', webSocket: { close: { by: 'client', code: 1000 } } })
  t.same([texts(last.requestBody), texts(last.responseBody)], [['close 1000'], ['close 1000']])
  t.notMatch(Buffer.concat(rig.recorder.frames.map(({ payload }) => payload)).toString('latin1'), /sk-secret/)
})

t.test(
  'holds each message back until it is on disk, and what comes early until it is accepted',
  async (t) => {
    const { rig, agent, got } = await start(t)
    rig.recorder.mode = 'silent'
    const stream = agent.request(opening(), { endStream: false })
    stream.on('data', () => {})
    const asked = () => rig.recorder.frames.filter(({ type }) => type === FrameType.RequestEnd)
    await rig.recorder.until(() => asked().length === 1)
    stream.write(said(CREATE, true))
    rig.recorder.answer(asked()[0]?.exchange as number, true)
    await rig.recorder.until(() => asked().length === 2)
    t.equal(got().length, 0)
    rig.recorder.answer(asked()[1]?.exchange as number, true)
    while (got().length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    t.same(got(), said(CREATE, true))
  },
)

t.test('a last message gets to a provider that ended first, also where it waits for the disk', async (t) => {
  const { rig, agent, turns, got } = await start(t)
  const stream = agent.request(opening({ 'x-ends': 'first' }), { endStream: false })
  const whole = answered(stream)
  stream.resume()
  const ended = new Promise((resolve) => stream.once('end', resolve))
  await new Promise((resolve) => stream.once('response', resolve))
  rig.recorder.mode = 'silent'
  const asked = () => rig.recorder.frames.filter(({ type }) => type === FrameType.RequestEnd)
  stream.end(said(CREATE, true))
  await rig.recorder.until(() => asked().length === 2)
  await ended
  rig.recorder.answer(asked()[1]?.exchange as number, true)
  t.equal((await whole).code, CODE.noError)
  while (got().length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.same(got(), said(CREATE, true))
  t.match(
    (await turns(1))[0]?.end,
    { outcome: 'upstream-aborted' },
    'it was the one that ended without a close',
  )
})

t.test('passes many messages beyond every window, in order', async (t) => {
  const { agent, got } = await start(t)
  const stream = agent.request(opening(), { endStream: false })
  stream.on('data', () => {})
  await new Promise((resolve) => stream.once('response', resolve))
  const messages = Array.from({ length: 300 }, (_, i) => said(`${i} ${'y'.repeat(2000)}`, true))
  for (const one of messages) stream.write(one)
  const wanted = Buffer.concat(messages)
  while (got().length < wanted.length) await new Promise((resolve) => setTimeout(resolve, 5))
  t.ok(got().equals(wanted))
})

t.test('what is no WebSocket cuts its stream and no other; its turn says why', async (t) => {
  const { rig, agent, turns, got } = await start(t)
  const stream = agent.request(opening(), { endStream: false })
  const whole = answered(stream)
  await new Promise((resolve) => stream.once('response', resolve))
  stream.write(said('not masked', false))
  const { code, body } = await whole
  t.equal(code, CODE.noError)
  t.match(body.toString('latin1'), /\x03\xeamalformed_web_socket$/)
  t.equal(got().length, 0)
  t.match((await turns(1))[0]?.end, { outcome: 'protocol-error', error: { code: 'malformed_web_socket' } })
  t.equal((await ask(agent, models())).headers[':status'], 200)
  t.match(rig.worker.state(), { failed: 1 })
})

t.test('of what is cut the agent has its room on the connection back', async (t) => {
  const { rig } = await start(t)
  const agent = new ByHand(await rig.agent({ alpn: ['h2'] }))
  agent.begin()
  await agent.frame(TYPE.settings)
  agent.headers(1, Object.entries(opening()), false)
  await agent.frame(TYPE.headers, 1)
  const bad = said('z'.repeat(1000), false)
  agent.send(TYPE.data, 0, 1, bad)
  await agent.frame(TYPE.resetStream, 1)
  t.equal((await agent.frame(TYPE.windowUpdate, 0)).payload.readUInt32BE(0), bad.length)
})

t.test('an agent that resets the stream leaves its last turn as aborted', async (t) => {
  const { agent, turns } = await start(t)
  const stream = agent.request(opening(), { endStream: false })
  stream.on('error', () => {})
  await received(stream, CREATED.length)
  stream.close(CODE.cancel)
  t.match((await turns(1))[0]?.end, { outcome: 'client-aborted' })
})

t.test('what the provider doesn’t accept is a plain answer, and the early message reaches it', async (t) => {
  const { rig, agent, got } = await start(t, {}, 403)
  const stream = agent.request(opening(), { endStream: false })
  const whole = answered(stream)
  stream.end(said('early', true))
  t.equal((await whole).headers[':status'], 403)
  t.same(got(), said('early', true))
  const { end, open } = await rig.recorder.ended(0)
  t.match(end, { outcome: 'complete' })
  t.notOk(open.webSocket)
})

t.test('without a recorder the policy lets a message pass, or cuts the stream', async (t) => {
  for (const unrecorded of ['forward', 'refuse'] as const) {
    const { rig, agent, got } = await start(t, { rules: rulesOf('standard', { proxy: { unrecorded } }) })
    const stream = agent.request(opening(), { endStream: false })
    const whole = answered(stream)
    await new Promise((resolve) => stream.once('response', resolve))
    rig.recorder.mode = 'failed'
    stream.write(said(CREATE, true))
    if (unrecorded === 'refuse') {
      const { code, body } = await whole
      t.equal(code, CODE.noError)
      t.match(body.toString('latin1'), /\x03\xf5recorder_unavailable$/)
      t.equal(got().length, 0)
    } else {
      while (got().length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      t.same(got(), said(CREATE, true))
    }
  }
})

const KEY = `sk-proj-${'aB3xY9kQ'.repeat(6)}`
const ruled = (rule: object) =>
  rulesOf('standard', { traffic: { rules: [{ name: 'r0', ...rule } as never] } })

t.test(
  'a message that a rule blocks goes nowhere; the agent hears why, and other streams go on',
  async (t) => {
    const { rig, agent, turns, got } = await start(t, { rules: ruled({ action: 'block', models: ['o3'] }) })
    const stream = agent.request(opening({ ':path': '/v1/responses' }), { endStream: false })
    const whole = answered(stream)
    await new Promise((resolve) => stream.once('response', resolve))
    stream.write(said('{"type":"response.create","model":"o3"}', true))
    const { code, body } = await whole
    t.equal(code, CODE.noError)
    t.match(
      body.toString('latin1'),
      /"type":"error".*"code":"blocked_by_policy".*\x03\xf0blocked_by_policy$/s,
    )
    t.equal(got().length, 0)
    t.match((await turns(1))[0]?.end, { outcome: 'blocked', policy: { verdict: 'block' } })
    t.equal((await ask(agent, models())).headers[':status'], 200)
    t.match(rig.worker.state(), { refused: 1 })
  },
)

t.test(
  'messages larger than the provider’s window are judged and redacted, and the windows stay right',
  async (t) => {
    const { agent, turns, got } = await start(t, { rules: ruled({ action: 'redact', content: ['secrets'] }) })
    const stream = agent.request(opening(), { endStream: false })
    answered(stream)
    await new Promise((resolve) => stream.once('response', resolve))
    const long = (key: string) => JSON.stringify({ type: 'response.create', x: 'y'.repeat(300_000), key })
    const masked = (text: string) => {
      const payload = Buffer.from(text)
      const length = Buffer.alloc(8)
      length.writeBigUInt64BE(BigInt(payload.length))
      const head = Buffer.concat([Buffer.from([0x81, 0xff]), length, MASK])
      return Buffer.concat([head, payload.map((byte, i) => byte ^ (MASK[i % 4] as number))])
    }
    const wanted: string[] = []
    for (let n = 1; n <= 6; n++) {
      const key = n % 2 === 0 ? KEY : 'none'
      stream.write(masked(long(key)))
      wanted.push(long(key === KEY ? '[redacted:openai-key]' : key))
    }
    const expected = wanted.reduce((sum, text) => sum + 14 + text.length, 0)
    while (got().length < expected) await new Promise((resolve) => setTimeout(resolve, 5))
    t.equal(got().length, expected)
    // The provider answers each piece of a message, so that turns are many.
    let recorded: string[] = []
    for (let n = 1; recorded.length < wanted.length; n++)
      recorded = (await turns(n)).flatMap(({ requestBody }) => texts(requestBody))
    t.ok(recorded.every((text, i) => text === wanted[i]))
    stream.close()
  },
)
