/** Requests under rules that ask about them: what is held back, blocked, changed on the wire, and recorded. */
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { Examination, MAX_EXAMINED } from '../../daemon/proxy/examination/examination.ts'
import type { Judged } from '../../daemon/proxy/examination/judged.ts'
import type { Governed } from '../../daemon/proxy/relay/facts.ts'
import type { Agent } from '../../daemon/recorder/protocol.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import type { Policy } from '../../policies/policy.ts'
import { answering, NAME, reading, rulesOf, startRig } from './proxy-rig.ts'

const KEY = `sk-proj-${'aB3xY9kQ'.repeat(6)}`
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
type Rule = Policy['traffic']['rules'][number]

const post = (body: string | Buffer, fields = '', path = '/v1/chat/completions') => {
  const bytes = Buffer.from(body)
  const framing = /transfer-encoding/i.test(fields) ? '' : `Content-Length: ${bytes.length}\r\n`
  return Buffer.concat([
    Buffer.from(`POST ${path} HTTP/1.1\r\nHost: ${NAME}\r\n${fields}${framing}\r\n`),
    bytes,
  ])
}

/** A message of gRPC or Connect. */
const framed = (flags: number, message: Buffer) => {
  const head = Buffer.of(flags, 0, 0, 0, 0)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

async function under(t: Test, rules: Omit<Rule, 'name'>[], more: Partial<Policy> = {}) {
  let seen = ''
  const rig = await startRig({
    provider: answering((request) => {
      seen += request
      return OK
    }),
    rules: rulesOf('standard', {
      ...more,
      traffic: { rules: rules.map((rule, i) => ({ ...rule, name: `r${i}` })) },
    }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  return { rig, agent, read: reading(agent), seen: () => seen }
}

t.test('a blocked request never leaves, is answered 403, and recorded with its rule', async (t) => {
  const { rig, agent, read, seen } = await under(t, [{ action: 'block', models: ['o3'] }])
  agent.write(post('{"model":"gpt-5"}'))
  await read.until('ok')
  t.match((await rig.recorder.ended(0)).open, { policy: { rule: 'standard/governed-name' } })
  agent.write(post('{"model":"o3"}'))
  const answer = await read.until('end')
  t.match(answer, /HTTP\/1.1 403 Forbidden\r\nContent-Type: application\/json\r\n/)
  const { error } = JSON.parse(answer.slice(answer.lastIndexOf('\r\n\r\n')))
  t.match(error, { type: 'permission_error', code: 'blocked_by_policy', message: /standard\/traffic\/r0/ })
  t.notMatch(seen(), 'o3')
  const { open, end, requestBody } = await rig.recorder.ended(1)
  t.match(open, { policy: { rule: 'standard/traffic/r0', verdict: 'block' } })
  t.match(end, { outcome: 'blocked', error: { code: 'blocked_by_policy' } })
  t.equal(requestBody.toString(), '{"model":"o3"}', 'what was tried is evidence')
})

t.test('the answer has the shape of the provider’s own errors', async (t) => {
  for (const [path, shape] of [
    ['/v1/messages', { type: 'error', error: { type: 'permission_error', message: /rule/ } }],
    [
      '/v1beta/models/gemini-3:generateContent',
      { error: { code: 403, status: 'PERMISSION_DENIED', message: /rule/ } },
    ],
    ['/model/claude/converse', { message: /rule/ }],
    ['/api/chat', { error: /rule/ }],
    ['/v1/responses', { error: { code: 'blocked_by_policy' } }],
  ] as const) {
    const { agent, read } = await under(t, [{ action: 'block', methods: ['POST'] }])
    agent.write(post('{}', '', path))
    const answer = await read.until('end')
    t.match(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))), shape, path)
    t.equal(/x-amzn-ErrorType: AccessDeniedException/.test(answer), path.startsWith('/model/'))
  }
})

t.test('nothing goes out before the body is whole and judged, and then all of it as it came', async (t) => {
  const { rig, agent, read, seen } = await under(t, [{ action: 'block', content: ['secrets'] }])
  const request = post('{"a":  "harmless" }', 'X-oDD:  1 \r\n')
  agent.write(request.subarray(0, request.length - 1))
  await rig.recorder.until(() => true)
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(
    rig.provided.some((socket) => socket.bytesRead > 0),
    false,
  )
  t.equal(rig.recorder.frames.length, 0)
  agent.write(request.subarray(request.length - 1))
  await read.until('ok')
  t.equal(seen(), request.toString())
  t.equal((await rig.recorder.ended()).requestBody.toString(), '{"a":  "harmless" }')
})

t.test('a method that a field says in the place of the line’s counts, too', async (t) => {
  const { agent, read, seen } = await under(t, [{ action: 'block', methods: ['DELETE'] }])
  agent.write(post('{}', 'X-HTTP-Method-Override: delete\r\n'))
  t.match(await read.until('end'), /403 .*standard\/traffic\/r0/s)
  t.equal(seen(), '')
})

t.test('a rule that the head decides holds nothing back', async (t) => {
  const { agent, read, rig } = await under(t, [{ action: 'block', paths: ['/v1/files'] }])
  agent.write(post('{"a":1}').subarray(0, -1))
  await rig.recorder.until(() => rig.recorder.frames.some(({ type }) => type === FrameType.RequestBody))
  agent.write('}')
  await read.until('ok')
})

t.test('what is found is replaced on the wire and in the record, its length set right', async (t) => {
  const body = `{"messages":[{"content":"my key ${KEY}!"}]}`
  const clean = body.replace(KEY, '[redacted:openai-key]')
  const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\nX-Sum: 1\r\n\r\n`
  const { rig, agent, read, seen } = await under(t, [{ action: 'redact', content: ['secrets'] }])
  const requests = [
    post(body, 'X-A: 1\r\nX-B:  2\r\n'),
    post(gzipSync(body), 'X-A: 1\r\nContent-Encoding: gzip\r\nX-B:  2\r\n'),
    post(chunked, 'X-A: 1\r\nTransfer-Encoding: chunked\r\nX-B:  2\r\nTrailer: x-sum\r\n'),
  ]
  for (const request of requests) {
    agent.write(request)
    await read.until('ok')
    read.clear()
  }
  const wanted = (fields: string) =>
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${NAME}\r\n${fields}\r\n\r\n${clean}`
  const length = `Content-Length: ${clean.length}`
  t.equal(
    seen(),
    wanted(`X-A: 1\r\nX-B:  2\r\n${length}`) +
      wanted(`X-A: 1\r\nX-B:  2\r\n${length}`) +
      wanted(`X-A: 1\r\n${length}\r\nX-B:  2`),
  )
  for (let n = 0; n < 3; n++) {
    const { open, requestBody, end, frames } = await rig.recorder.ended(n)
    t.match(open, { policy: { rule: 'standard/traffic/r0', verdict: 'redact', found: ['openai-key'] } })
    t.equal(requestBody.toString(), clean)
    t.match(end, { outcome: 'complete' })
    t.same(
      frames.filter(({ type }) => type === FrameType.RequestEnd).map(({ payload }) => payload.toString()),
      ['{}'],
    )
  }
  t.notMatch(Buffer.concat(rig.recorder.frames.map(({ payload }) => payload)).toString(), KEY)
})

t.test(
  'a signed request is blocked where it would have to be changed, or passes by the rule’s word',
  async (t) => {
    const signed = 'Authorization: AWS4-HMAC-SHA256 Credential=x/y, SignedHeaders=host, Signature=ab\r\n'
    const blocking = await under(t, [{ action: 'redact', content: ['secrets'] }])
    blocking.agent.write(post(`{"a":"${KEY}"}`, signed))
    t.match(await blocking.read.until('end'), /403 .*could not be told or done: it is signed/s)
    const passing = await under(t, [{ action: 'redact', content: ['secrets'], cannotTell: 'pass' }])
    passing.agent.write(post(`{"a":"${KEY}"}`, signed))
    await passing.read.until('ok')
    t.match(passing.seen(), KEY)
  },
)

t.test(
  'what can’t be looked into is blocked: too long, not decodable, a bomb, what isn’t HTTP',
  async (t) => {
    const big = `{"a":"${'x'.repeat(MAX_EXAMINED)}"}`
    for (const [what, request, why] of [
      ['too long, and says so', post(big), 'a body above 16 MiB'],
      [
        'too long, in chunks',
        post(`${big.length.toString(16)}\r\n${big}\r\n0\r\n\r\n`, 'Transfer-Encoding: chunked\r\n'),
        'a body above 16 MiB',
      ],
      ['a bomb', post(gzipSync(big), 'Content-Encoding: gzip\r\n'), 'gzip content'],
      [
        'cut short',
        post(gzipSync('{"a":"b"}').subarray(0, 15), 'Content-Encoding: gzip\r\n'),
        'gzip content',
      ],
      [
        'behind a gzip body',
        post(
          Buffer.concat([gzipSync('{"a":"'), Buffer.of(0), gzipSync(`${KEY}"}`)]),
          'Content-Encoding: gzip\r\n',
        ),
        'gzip content',
      ],
      [
        'behind a Brotli body',
        post(Buffer.concat([brotliCompressSync('{"a":"b"}'), Buffer.from(KEY)]), 'Content-Encoding: br\r\n'),
        'something stands behind it',
      ],
      [
        'a compressed message of gRPC',
        post(framed(1, gzipSync(KEY)), 'Content-Type: application/grpc+proto\r\nGrpc-Encoding: gzip\r\n'),
        'messages that are compressed',
      ],
      [
        'one behind another of Connect',
        post(
          Buffer.concat([framed(0, Buffer.from('a')), framed(1, gzipSync(KEY))]),
          'Content-Type: application/connect+json\r\n',
        ),
        'messages that are compressed',
      ],
      ['an unknown coding', post('{}', 'Content-Encoding: lzma\r\n'), 'the content coding lzma'],
      [
        'an upgrade to something else than a WebSocket',
        Buffer.from(
          `GET /v1/realtime HTTP/1.1\r\nHost: ${NAME}\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n`,
        ),
        'what follows an upgrade',
      ],
    ] as const) {
      const { agent, read, seen } = await under(t, [{ action: 'block', content: ['secrets'] }])
      agent.write(request)
      const answer = await read.until('end', 10_000)
      t.match(answer, /^HTTP\/1.1 403 /, what)
      t.match(answer, new RegExp(`could not be told or done: content, .*${why}`), what)
      t.equal(seen(), '', what)
    }
  },
)

t.test('all frames of a zstd body are looked into', async (t) => {
  const { agent, read, seen } = await under(t, [{ action: 'block', content: ['secrets'] }])
  const body = Buffer.concat(['{"a":"', `${KEY}"}`].map((part) => zstdCompressSync(part)))
  agent.write(post(body, 'Content-Encoding: zstd\r\n'))
  t.match(await read.until('end'), /403 .*it holds openai-key/s)
  t.equal(seen(), '')
})

t.test('an agent that waits to be asked for its body is asked', async (t) => {
  const { agent, read, seen } = await under(t, [{ action: 'block', content: ['secrets'] }])
  const request = post('{"a":1}', 'Expect: 100-continue\r\n')
  agent.write(request.subarray(0, -7))
  await read.until('HTTP/1.1 100 Continue\r\n\r\n')
  t.equal(seen(), '')
  agent.write(request.subarray(-7))
  await read.until('ok')
})

t.test('pipelined requests are judged one by one, in order', async (t) => {
  const { agent, read, seen } = await under(t, [{ action: 'redact', content: ['secrets'] }])
  agent.write(Buffer.concat([post(`{"a":"${KEY}"}`), post('{"b":2}'), post(`{"c":"${KEY}"}`)]))
  await read.until(OK.length * 3)
  t.same(seen().match(/\{.*?\}/g), [
    '{"a":"[redacted:openai-key]"}',
    '{"b":2}',
    '{"c":"[redacted:openai-key]"}',
  ])
})

t.test('an agent that goes away before the verdict leaves a record of what came', async (t) => {
  const { rig, agent, seen } = await under(t, [{ action: 'block', content: ['secrets'] }])
  agent.write(post('{"a":"half of it"}').subarray(0, -3))
  while (rig.worker.state().exchanges === 0) await new Promise((resolve) => setTimeout(resolve, 2))
  agent.destroy()
  const { requestBody, end } = await rig.recorder.ended()
  t.equal(requestBody.toString(), '{"a":"half of i')
  t.match(end, { outcome: 'client-aborted' })
  t.equal(seen(), '')
})

t.test('a rule about agents waits for who it is, and blocks whom nobody found', async (t) => {
  const asked: number[] = []
  const rules = rulesOf('standard', {
    agents: [{ name: 'tool', executables: ['/usr/bin/tool'] }],
    traffic: { rules: [{ name: 'no-tools', action: 'block', agents: ['tool'] }] },
  })
  const rig = await startRig({
    provider: answering(() => OK),
    rules,
    askForOwner: ({ request }) => asked.push(request),
  })
  t.teardown(() => rig.stop())
  for (const [found, wanted] of [
    [{ processes: [{ pid: 1, name: 'x', executable: '/bin/sh' }] }, /200 OK/],
    [{ processes: [{ pid: 1, name: 'x', executable: '/usr/bin/tool' }] }, /403/],
    [undefined, /403 .*could not be told or done: agents/s],
  ] as [Agent | undefined, RegExp][]) {
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(post('{}'))
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.equal(read.text, '')
    if (found) rig.worker.ownerFound(asked.at(-1) as number, found)
    t.match(await read.until('\r\n\r\n'), /HTTP/)
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.match(read.text, wanted)
    agent.destroy()
  }
})

t.test('all requests of a worker together hold no more than their bound', async (t) => {
  const { policy } = rulesOf('standard', {
    traffic: { rules: [{ name: 'r', action: 'block', content: ['secrets'] }] },
  })
  const governed = {
    name: NAME,
    provider: { id: 'openai', telemetryName: 'openai', style: 'openai-chat', keepBodies: true },
    originalDestination: { address: '192.0.2.1', port: 443 },
    client: { address: '192.0.2.2', port: 1 },
    agent: {},
    tls: true,
    rule: 'r',
  } satisfies Governed
  const request = { method: 'POST', target: '/', field: () => [], kind: 'request' as const }
  const holding = { bytes: 0 }
  const verdicts: Judged[] = []
  const examinations = Array.from({ length: 20 }, () => {
    const one = new Examination(policy, governed, request, holding, (judged) => verdicts.push(judged))
    one.start()
    one.more([Buffer.alloc(15 << 20)])
    return one
  })
  t.ok(holding.bytes <= 128 << 20)
  t.match(verdicts[0], { action: 'block', rule: 'standard/traffic/r', unknown: ['content'] })
  for (const one of examinations) one.stop()
  t.equal(holding.bytes, 0)

  const tiny = new Examination(policy, governed, request, holding, (judged) => verdicts.push(judged))
  tiny.start()
  const [before, piece] = [verdicts.length, Buffer.from('x')]
  for (let i = 0; i < 100_000; i++) tiny.more([piece])
  t.equal(verdicts.length, before + 1)
  t.match(
    verdicts.at(-1),
    { action: 'block', unknown: ['content'] },
    'one in pieces of a byte: no more than a part',
  )
  t.equal(holding.bytes, 0)
})

t.test('other rules hold from the next request on, on connections that are open already', async (t) => {
  const { rig, agent, read } = await under(t, [])
  agent.write(post('{"model":"o3"}'))
  await read.until('ok')
  const changed = rulesOf('standard', {
    traffic: { rules: [{ name: 'not-o3', action: 'block', models: ['o3'] }] },
  })
  rig.worker.setRules({ ...changed, policy: { ...changed.policy, hash: 'cd'.repeat(32) } })
  agent.write(post('{"model":"o3"}'))
  t.match(await read.until('end'), /ok.*403 Forbidden.*standard\/traffic\/not-o3/s)
  t.match((await rig.recorder.ended(1)).open, { policy: { hash: 'cd'.repeat(32), verdict: 'block' } })
})
