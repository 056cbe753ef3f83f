/** Streams under rules that ask about requests: held back without the provider's windows, blocked, changed, let go on. */
import { randomBytes } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http2'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { MAX_EXAMINED } from '../../daemon/proxy/examination/examination.ts'
import { CODE, TYPE } from '../../daemon/proxy/h2/frame.ts'
import { ProviderWindow } from '../../daemon/proxy/h2/provider-window.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import type { Policy } from '../../policies/policy.ts'
import { answered, ask, ByHand, h2Agent, type Serve, startH2Rig } from './h2-rig.ts'
import { NAME, rulesOf } from './proxy-rig.ts'

const KEY = `sk-proj-${'aB3xY9kQ'.repeat(6)}`
const CLEAN = '[redacted:openai-key]'
type Rule = Omit<Policy['traffic']['rules'][number], 'name'>
const BLOCK_SECRETS: Rule = { action: 'block', content: ['secrets'] }
const REDACT_SECRETS: Rule = { action: 'redact', content: ['secrets'] }

const under = (rules: Rule[], more: Partial<Policy> = {}) =>
  rulesOf('standard', { ...more, traffic: { rules: rules.map((rule, i) => ({ ...rule, name: `r${i}` })) } })

const chat = (more: Record<string, string> = {}) => ({
  ':authority': NAME,
  ':scheme': 'https',
  ':method': 'POST',
  ':path': '/v1/chat/completions',
  authorization: 'Bearer sk-secret',
  ...more,
})

interface Seen {
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  readonly trailers: IncomingHttpHeaders | undefined
}

/** A provider that reads whole requests and answers `ok`. */
async function start(t: Test, rules: Rule[], more: Partial<Policy> = {}) {
  const seen: Seen[] = []
  const opened: string[] = []
  const serve: Serve = async (stream, headers) => {
    opened.push(`${headers[':path']}`)
    const chunks: Buffer[] = []
    let trailers: IncomingHttpHeaders | undefined
    stream.on('trailers', (fields) => {
      trailers = fields
    })
    for await (const bytes of stream) chunks.push(bytes)
    seen.push({ headers, body: Buffer.concat(chunks), trailers })
    stream.respond({ ':status': 200 })
    stream.end('ok')
  }
  const rig = await startH2Rig(serve, { rules: under(rules, more) })
  t.teardown(() => rig.stop())
  return { rig, seen, opened, agent: await h2Agent(rig) }
}

t.test('a blocked stream never leaves and is answered in the provider’s shape; others go on', async (t) => {
  const { rig, seen, opened, agent } = await start(t, [{ action: 'block', models: ['o3'] }])
  const wide = { 'x-wide': 'w'.repeat(500) }
  const [good, bad, after] = await Promise.all([
    ask(agent, chat({ ...wide, 'x-n': '1' }), '{"model":"gpt-5"}'),
    ask(agent, chat({ ...wide, 'x-n': '2' }), '{"model":"o3"}'),
    ask(agent, chat({ ...wide, 'x-n': '3' }), '{"model":"gpt-5","n":3}'),
  ])
  t.equal(bad.headers[':status'], 403)
  t.match(JSON.parse(bad.body.toString()), {
    error: { type: 'permission_error', code: 'blocked_by_policy', message: /standard\/traffic\/r0/ },
  })
  for (const { headers, body } of [good, after]) t.match([headers[':status'], `${body}`], [200, 'ok'])
  const again = await ask(agent, chat({ ...wide, 'x-n': '4' }), '{"model":"gpt-5"}')
  t.equal(again.headers[':status'], 200, 'the tables of both sides are as they were')
  t.same(seen.map(({ headers }) => headers['x-n']).sort(), ['1', '3', '4'])
  t.equal(opened.length, 3)
  const records = await Promise.all([0, 1, 2, 3].map((n) => rig.recorder.ended(n)))
  const [blocked, ...rest] = records.filter(({ end }) => end?.outcome === 'blocked')
  t.same(rest, [])
  t.match(blocked?.open, { policy: { rule: 'standard/traffic/r0', verdict: 'block' } })
  t.match(blocked?.end, { error: { code: 'blocked_by_policy' } })
  t.notOk(blocked?.end?.upstream)
  t.equal(blocked?.requestBody.toString(), '{"model":"o3"}', 'what was tried is evidence')
  t.match(rig.worker.state(), { refused: 1, failed: 0 })
})

t.test('nothing goes out before the body is whole and judged, and then all as it came', async (t) => {
  const { rig, seen, opened, agent } = await start(t, [BLOCK_SECRETS])
  const stream = agent.request(chat({ 'content-length': '11' }), { endStream: false, waitForTrailers: true })
  stream.once('wantTrailers', () => stream.sendTrailers({ 'x-sum': '7' }))
  const whole = answered(stream)
  stream.write('{"a":')
  while (rig.worker.state().exchanges === 0) await new Promise((resolve) => setTimeout(resolve, 2))
  t.equal((await ask(agent, chat({ ':method': 'GET', ':path': '/v1/models' }))).headers[':status'], 200)
  t.same(opened, ['/v1/models'], 'a later one that is judged already passes it')
  stream.end('"bcd"}')
  t.equal((await whole).body.toString(), 'ok')
  t.match(seen[1], { headers: { 'content-length': '11' }, trailers: { 'x-sum': '7' } })
  t.equal(seen[1]?.body.toString(), '{"a":"bcd"}')
  const { requestBody, frames, end } = await rig.recorder.ended(1)
  t.equal(requestBody.toString(), '{"a":"bcd"}')
  t.match(`${frames.find(({ type }) => type === FrameType.RequestEnd)?.payload}`, /x-sum: 7/)
  t.match(end, { outcome: 'complete' })
})

t.test('bodies many times the provider’s windows are held, and go out as it takes them', async (t) => {
  const { seen, agent } = await start(t, [{ ...BLOCK_SECRETS, paths: ['/v1/chat/*'] }])
  const body = (size: number) => `{"a":"${randomBytes(size).toString('hex')}"}`
  const asked = Array.from({ length: 12 }, (_, i) => ({
    // Half of them are let go on by their head, and share the connection's window with those that were held.
    path: i % 2 === 0 ? '/v1/chat/completions' : '/v1/files',
    text: body(1000 + i * 40_000),
  }))
  for (let round = 0; round < 3; round++) {
    const answers = await Promise.all(
      asked.map(({ path, text }) => ask(agent, chat({ ':path': path, 'x-round': `${round}` }), text)),
    )
    t.same(
      answers.map(({ headers, body: got }) => [headers[':status'], `${got}`]),
      asked.map(() => [200, 'ok']),
    )
  }
  t.same(new Set(seen.map(({ body: got }) => `${got}`)), new Set(asked.map(({ text }) => text)))
  t.equal(seen.length, 36)
})

t.test('an agent goes on sending after its verdict, while the provider takes what was held', async (t) => {
  const asked: number[] = []
  const seen: number[] = []
  const rules = under([{ action: 'block', agents: ['tool'] }], {
    agents: [{ name: 'tool', executables: ['/usr/bin/tool'] }],
  })
  const rig = await startH2Rig(
    async (stream) => {
      let size = 0
      for await (const bytes of stream) size += (bytes as Buffer).length
      seen.push(size)
      stream.respond({ ':status': 200 })
      stream.end('ok')
    },
    { rules, askForOwner: ({ request }) => asked.push(request) },
  )
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig)
  const stream = agent.request(chat(), { endStream: false })
  const whole = answered(stream)
  const part = Buffer.alloc(300_000, 'x')
  await new Promise<void>((resolve) => stream.write(part, () => resolve()))
  rig.worker.ownerFound(asked[0] as number, { processes: [{ pid: 1, name: 'sh', executable: '/bin/sh' }] })
  for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => stream.write(part, () => resolve()))
  stream.end()
  t.equal((await whole).body.toString(), 'ok')
  t.same(seen, [1_800_000])
})

t.test('what is found is replaced in DATA, its length set right where it was given', async (t) => {
  const { rig, seen, agent } = await start(t, [REDACT_SECRETS])
  const body = `{"messages":[{"content":"my key ${KEY}! ${'x'.repeat(200_000)}"}]}`
  const clean = body.replace(KEY, CLEAN)
  await ask(agent, chat({ 'content-length': `${body.length}`, 'x-a': '1' }), body)
  await ask(agent, chat({ 'content-encoding': 'gzip' }), gzipSync(body))
  const stream = agent.request(chat({ trailer: 'x-sum' }), { endStream: false, waitForTrailers: true })
  stream.once('wantTrailers', () => stream.sendTrailers({ 'x-sum': KEY }))
  const whole = answered(stream)
  stream.end(body)
  t.equal((await whole).body.toString(), 'ok')
  t.same(
    seen.map(({ headers }) => headers['content-length']),
    [`${clean.length}`, undefined, undefined],
  )
  for (const [n, { headers, body: got, trailers }] of seen.entries()) {
    t.ok(got.toString() === clean)
    t.same([headers['content-encoding'], headers.trailer, trailers], [undefined, undefined, undefined])
    t.equal(headers.authorization, 'Bearer sk-secret')
    const { open, requestBody, end } = await rig.recorder.ended(n)
    t.match(open, { policy: { rule: 'standard/traffic/r0', verdict: 'redact', found: ['openai-key'] } })
    t.ok(requestBody.toString() === clean)
    t.match(end, { outcome: 'complete' })
  }
  t.notMatch(Buffer.concat(rig.recorder.frames.map(({ payload }) => payload)).toString(), KEY)
})

t.test('a gRPC client is told of a block by gRPC’s own status', async (t) => {
  const { rig, opened, agent } = await start(t, [{ action: 'block', methods: ['POST'] }])
  const call = (type: string) =>
    ask(agent, chat({ ':path': '/v1/chat/completions', 'content-type': type }), 'x')
  const { headers, body, trailers } = await call('application/grpc+proto')
  t.match(headers, { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '7' })
  t.match(
    decodeURIComponent(`${headers['grpc-message']}`),
    /the rule standard\/traffic\/r0 of this machine's policy/,
  )
  t.same([body.length, trailers], [0, undefined])
  t.equal((await call('application/grpc-web')).headers[':status'], 403)
  t.same(opened, [])
  t.match((await rig.recorder.ended(0)).end, { outcome: 'blocked' })
})

t.test('what can’t be looked into is blocked: too long, not decodable, what isn’t HTTP', async (t) => {
  const rules = under([BLOCK_SECRETS])
  const rig = await startH2Rig((stream) => stream.respond({ ':status': 200 }, { endStream: true }), {
    rules,
    settings: { enableConnectProtocol: true },
  })
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig, { maxSessionMemory: 100 })
  if (!agent.remoteSettings?.enableConnectProtocol)
    await new Promise((go) => agent.once('remoteSettings', go))
  const big = `{"a":"${'x'.repeat(MAX_EXAMINED)}"}`
  for (const [what, fields, body] of [
    ['too long, and says so', { 'content-length': `${big.length}` }, big],
    ['too long', {}, big],
    ['a bomb', { 'content-encoding': 'gzip' }, gzipSync(big)],
    ['a tunnel', { ':method': 'CONNECT', ':protocol': 'raw', ':path': '/v1/realtime' }, ''],
  ] as const) {
    const answer = await ask(agent, chat(fields), body)
    t.equal(answer.headers[':status'], 403, what)
    t.match(answer.body.toString(), /could not be told or done: content/, what)
  }
  t.match((await ask(agent, chat(), '{}')).headers, { ':status': 200 })
})

t.test('a stream given up before its verdict leaves a record of what came', async (t) => {
  const { rig, opened } = await start(t, [BLOCK_SECRETS])
  const body = '{"a":"half of it'
  const CANCELLED = Buffer.from([0, 0, 0, CODE.cancel])
  for (const [n, leave] of [
    (agent: ByHand) => agent.send(TYPE.resetStream, 0, 1, CANCELLED),
    (agent: ByHand) => agent.socket.destroy(),
  ].entries()) {
    const agent = new ByHand(await rig.agent({ alpn: ['h2'] }))
    agent.begin()
    agent.headers(1, Object.entries(chat()), false)
    agent.send(TYPE.data, 0, 1, body)
    await agent.frame(TYPE.windowUpdate, 1)
    t.same(
      agent.frames
        .filter(({ type }) => type === TYPE.windowUpdate)
        .map(({ payload }) => payload.readUInt32BE(0)),
      [body.length, body.length],
      'it has the room back, on the stream and on the connection',
    )
    leave(agent)
    const { requestBody, end } = await rig.recorder.ended(n)
    t.equal(requestBody.toString(), body)
    t.match(end, { outcome: 'client-aborted' })
  }
  t.same(opened, [])
})

t.test('an agent that waits to be asked for its body is asked', async (t) => {
  const { agent, opened } = await start(t, [BLOCK_SECRETS])
  const stream = agent.request(chat({ expect: '100-continue' }), { endStream: false })
  const whole = answered(stream)
  await new Promise<void>((resolve) => stream.once('continue', () => resolve()))
  t.same(opened, [])
  stream.end('{}')
  t.equal((await whole).body.toString(), 'ok')
})

t.test('a provider that leaves while a stream is held: the agent may ask again', async (t) => {
  const { rig, agent } = await start(t, [BLOCK_SECRETS])
  await ask(agent, chat(), '{}')
  const stream = agent.request(chat(), { endStream: false })
  const whole = answered(stream)
  stream.write('{"a"')
  while (rig.worker.state().exchanges === 1) await new Promise((resolve) => setTimeout(resolve, 2))
  for (const session of rig.sessions) session.goaway(0, 1)
  t.equal((await whole).code, CODE.refusedStream)
  t.match((await rig.recorder.ended(1)).end, { outcome: 'upstream-aborted' })
})

t.test('other rules hold from the next stream on, on connections that are open already', async (t) => {
  const { rig, agent, seen } = await start(t, [])
  t.equal((await ask(agent, chat(), '{"model":"o3"}')).body.toString(), 'ok')
  let left = false
  agent.once('goaway', () => {
    left = true
  })
  const changed = under([{ action: 'block', models: ['o3'] }])
  rig.worker.setRules({ ...changed, policy: { ...changed.policy, hash: 'cd'.repeat(32) } })
  t.equal((await ask(agent, chat(), '{"model":"o3"}')).headers[':status'], 403)
  t.equal((await ask(agent, chat(), '{"model":"gpt-5"}')).headers[':status'], 200)
  t.notOk(left)
  t.equal(rig.sessions.length, 1)
  t.equal(seen.length, 2)
  t.match((await rig.recorder.ended(1)).open, { policy: { hash: 'cd'.repeat(32), verdict: 'block' } })
})

t.test('an agent that sends more than it was given is cut: what it may send bounds what waits', async (t) => {
  const rig = await startH2Rig(() => {})
  t.teardown(() => rig.stop())
  const agent = new ByHand(await rig.agent({ alpn: ['h2'] }))
  agent.begin()
  agent.headers(1, Object.entries(chat()), false)
  for (let i = 0; i < 5; i++) agent.send(TYPE.data, 0, 1, Buffer.alloc(16_000))
  t.equal(await agent.closedWith(), CODE.flowControlError)
})

t.test('what was given back early is kept from what the provider gives, once', async (t) => {
  const window = new ProviderWindow(100)
  window.sent(30, false)
  window.sent(60, true)
  t.equal(window.room, 10)
  t.equal(window.given(40), 0)
  t.equal(window.given(50), 30, 'of 90 sent, 60 were given back before')
  t.equal(window.given(7), 7)
  window.moved(-200)
  t.equal(window.room, -93)
})
