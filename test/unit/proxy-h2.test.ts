/** HTTP/2 through a worker: node:http2 at both ends. */
import { randomBytes } from 'node:crypto'
import { connect, constants, type ServerHttp2Session, sensitiveHeaders } from 'node:http2'
import t from 'tap'
import { answered, ask, h2Agent, startH2Rig } from './h2-rig.ts'
import { answering, NAME, policyHash, reading, startRig } from './proxy-rig.ts'

const CHAT = '/v1/chat/completions'
const chat = (more: Record<string, string | string[]> = {}) => ({
  ':authority': NAME,
  ':scheme': 'https',
  ':method': 'POST',
  ':path': CHAT,
  authorization: 'Bearer sk-secret',
  'content-type': 'application/json',
  ...more,
})

t.test('passes both heads, bodies and trailers as sent, and records them without credentials', async (t) => {
  const seen: { raw: string[]; body: string; sensitive: unknown }[] = []
  const rig = await startH2Rig(async (stream, headers, raw) => {
    const chunks: Buffer[] = []
    for await (const bytes of stream) chunks.push(bytes)
    const sensitive = (headers as Record<symbol, unknown>)[sensitiveHeaders]
    seen.push({ raw, body: Buffer.concat(chunks).toString(), sensitive })
    stream.respond(
      { ':status': 200, 'content-type': 'text/plain', 'set-cookie': ['a=1', 'b=2'], 'x-b': '2', 'x-a': '1' },
      { waitForTrailers: true },
    )
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'ok' }))
    stream.end('hello')
  })
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig)
  const request = chat({ 'x-twice': ['1', '2'], 'x-zulu': 'z', 'x-alpha': 'a' })
  const stream = agent.request({ ...request, [sensitiveHeaders]: ['authorization'] })
  const whole = answered(stream)
  stream.end('{"model":"gpt-4o"}')
  const answer = await whole
  t.equal(answer.body.toString(), 'hello')
  t.match(answer.trailers, { 'grpc-status': '0', 'grpc-message': 'ok' })
  t.equal(answer.headers[':status'], 200)
  t.same(
    answer.rawHeaders.filter((_, i) => i % 2 === 0),
    [':status', 'content-type', 'set-cookie', 'set-cookie', 'x-b', 'x-a', 'date'],
  )
  t.equal(seen[0]?.body, '{"model":"gpt-4o"}')
  t.same(seen[0]?.sensitive, ['authorization'], 'what must not be kept in a table is still said so')
  t.same(seen[0]?.raw, [
    ...[':authority', NAME, ':scheme', 'https', ':method', 'POST', ':path', CHAT],
    ...['authorization', 'Bearer sk-secret', 'content-type', 'application/json'],
    ...['x-twice', '1', 'x-twice', '2', 'x-zulu', 'z', 'x-alpha', 'a'],
  ])

  const recorded = await rig.recorder.ended()
  t.match(recorded.open, {
    provider: 'openai',
    serverName: NAME,
    tls: true,
    policy: { hash: policyHash, rule: 'standard/governed-name' },
    credentials: [{ where: 'header:authorization', fingerprint: /^fp_[0-9a-f]{32}$/ }],
  })
  t.match(
    recorded.requestHead,
    /^:authority: api\.openai\.com\r\n:scheme: https\r\n:method: POST\r\n:path: \/v1\/chat\/completions\r\nauthorization: Bearer fp_[0-9a-f]{32}\r\n/,
  )
  t.ok(recorded.requestHead.endsWith('x-alpha: a\r\n\r\n'))
  t.equal(recorded.requestBody.toString(), '{"model":"gpt-4o"}')
  t.match(recorded.responseHead, /^:status: 200\r\ncontent-type: text\/plain\r\nset-cookie: a=fp_/)
  t.equal(recorded.responseBody.toString(), 'hello')
  t.match(recorded.end, { outcome: 'complete', trailers: 'grpc-status: 0\r\ngrpc-message: ok\r\n' })
  t.match(recorded.end?.upstream, { port: rig.providerPort })
})

t.test('50 streams at once on one connection each get their own answer and record', async (t) => {
  const rig = await startH2Rig(async (stream) => {
    const chunks: Buffer[] = []
    for await (const bytes of stream) chunks.push(bytes)
    stream.respond({ ':status': 200 })
    for (const bytes of chunks) stream.write(bytes)
    setTimeout(() => stream.end('.'), Math.random() * 20)
  })
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig)
  const bodies = Array.from({ length: 50 }, (_, i) => randomBytes(1 + i * 700).toString('hex'))
  const answers = await Promise.all(bodies.map((body, i) => ask(agent, chat({ 'x-number': `${i}` }), body)))
  for (const [i, { body }] of answers.entries()) t.equal(body.toString(), `${bodies[i]}.`)
  const last = await rig.recorder.ended(49)
  t.match(last.end, { outcome: 'complete' })
  const numbers = new Set(rig.recorder.frames.map(({ exchange }) => exchange))
  for (const number of numbers) {
    const { requestHead, requestBody, responseBody } = rig.recorder.exchange(number)
    const i = Number(/x-number: (\d+)/.exec(requestHead)?.[1])
    t.equal(requestBody.toString(), bodies[i])
    t.equal(responseBody.toString(), `${bodies[i]}.`)
  }
  t.equal(rig.sessions.length, 1)
})

t.test('serves HEAD, 204, informational answers and requests without a body', async (t) => {
  const rig = await startH2Rig((stream, headers) => {
    if (headers[':method'] === 'HEAD') {
      stream.respond({ ':status': 200, 'content-length': '1234' }, { endStream: true })
    } else if (headers[':method'] === 'DELETE') {
      stream.respond({ ':status': 204 }, { endStream: true })
    } else {
      stream.additionalHeaders({ ':status': 103, link: '</a>' })
      stream.respond({ ':status': 200 })
      stream.end('after')
    }
  })
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig)
  t.match((await ask(agent, chat({ ':method': 'HEAD' }))).headers, {
    ':status': 200,
    'content-length': '1234',
  })
  t.match((await ask(agent, chat({ ':method': 'DELETE' }))).headers, { ':status': 204 })
  const early = await ask(agent, chat({ ':method': 'GET' }))
  t.match(early.informational, [{ ':status': 103, link: '</a>' }])
  t.equal(early.body.toString(), 'after')
  const recorded = await rig.recorder.ended(2)
  t.match(recorded.responseHead, /^:status: 103\r\nlink: <\/a>\r\n\r\n:status: 200\r\n/)
})

t.test('holds the end of a request back until it is on disk, others not', async (t) => {
  const seen: string[] = []
  const rig = await startH2Rig((stream, headers) => {
    const path = headers[':path'] ?? ''
    seen.push(`${headers[':method']} ${path}`)
    stream.on('data', (bytes: Buffer) => seen.push(bytes.toString()))
    stream.on('end', () => {
      seen.push(`end of ${path}`)
      stream.respond({ ':status': 200 })
      stream.end(path)
    })
  })
  t.teardown(() => rig.stop())
  rig.recorder.mode = 'silent'
  const agent = await h2Agent(rig)
  const get = ask(agent, chat({ ':method': 'GET', ':path': '/v1/models' }))
  const stream = agent.request(chat({ 'content-length': '8' }))
  const post = answered(stream)
  stream.write('one,')
  stream.write('two.')
  await rig.recorder.until(() => rig.recorder.frames.some(({ payload }) => `${payload}`.includes('two.')))
  const open = agent.request(chat({ ':path': '/v1/responses' }))
  const bidirectional = answered(open)
  open.write('flows')
  while (!seen.includes('flows')) await new Promise((resolve) => setTimeout(resolve, 5))
  t.same(seen, [`POST ${CHAT}`, 'one,', 'POST /v1/responses', 'flows'])
  stream.end()
  open.end()
  const ends = () => rig.recorder.frames.filter(({ type }) => type === 4)
  await rig.recorder.until(() => ends().length === 3)
  t.same(seen, [`POST ${CHAT}`, 'one,', 'POST /v1/responses', 'flows'])
  for (const { exchange } of ends()) rig.recorder.answer(exchange, true)
  t.equal((await get).body.toString(), '/v1/models')
  t.equal((await post).body.toString(), CHAT)
  t.equal((await bidirectional).body.toString(), '/v1/responses')
  t.ok(seen.indexOf('two.') > seen.indexOf('flows'))
})

t.test(
  'a request to another server is answered 421 and recorded; later ones on the connection are served',
  async (t) => {
    const seen: string[][] = []
    const rig = await startH2Rig((stream, _headers, raw) => {
      seen.push(raw)
      stream.respond({ ':status': 200 })
      stream.end('served')
    })
    t.teardown(() => rig.stop())
    const agent = await h2Agent(rig)
    const custom = { 'x-custom': 'kept in the table' }
    const refused = await ask(agent, chat({ ':authority': 'elsewhere.example', ...custom }), 'body')
    t.equal(refused.headers[':status'], 421)
    t.match(JSON.parse(refused.body.toString()), { error: { code: 'misdirected_request' } })
    const other = await ask(agent, chat({ host: 'elsewhere.example', ...custom }), 'body')
    t.equal(other.headers[':status'], 421)
    for (let i = 0; i < 3; i++) t.equal((await ask(agent, chat(custom), 'body')).body.toString(), 'served')
    t.equal(seen.length, 3)
    for (const raw of seen) t.match(raw.join('|'), /x-custom\|kept in the table/)
    await rig.recorder.ended(2)
    t.match(rig.recorder.refusals(), [
      { rule: 'standard/name-mismatch', reason: /^misdirected_request/ },
      { rule: 'standard/name-mismatch', reason: /^misdirected_request/ },
    ])
  },
)

t.test('20 MB each way arrive whole in bounded memory though the reader is slow', async (t) => {
  const MEGABYTES = 20
  const block = randomBytes(1 << 20)
  let received = 0
  const rig = await startH2Rig(async (stream) => {
    for await (const bytes of stream) {
      received += (bytes as Buffer).length
      if (received % 7 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    stream.respond({ ':status': 200 })
    for (let i = 0; i < MEGABYTES; i++)
      if (!stream.write(block)) await new Promise((go) => stream.once('drain', go))
    stream.end()
  })
  t.teardown(() => rig.stop())
  let recorded = 0
  rig.recorder.bodies = ({ payload }) => {
    recorded += payload.length
  }
  const agent = await h2Agent(rig)
  const stream = agent.request(chat())
  for (let i = 0; i < MEGABYTES; i++)
    if (!stream.write(block)) await new Promise((go) => stream.once('drain', go))
  stream.end()
  await new Promise((resolve) => stream.once('response', resolve))
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.ok(recorded < (MEGABYTES + 2) * 2 ** 20, `nothing runs ahead of a reader that doesn't read: ${recorded}`)
  let back = 0
  for await (const bytes of stream) back += (bytes as Buffer).length
  t.equal(received, MEGABYTES * 2 ** 20)
  t.equal(back, MEGABYTES * 2 ** 20)
  await rig.recorder.ended()
  t.equal(recorded, 2 * MEGABYTES * 2 ** 20)
})

t.test('a recorder that does not keep up stops both sides, and they go on with it', async (t) => {
  const MEGABYTES = 24
  let received = 0
  const rig = await startH2Rig(async (stream) => {
    for await (const bytes of stream) received += (bytes as Buffer).length
    stream.respond({ ':status': 200 })
    stream.end('all of it')
  })
  t.teardown(() => rig.stop())
  rig.recorder.bodies = () => {}
  for (const socket of rig.recorder.sockets) socket.pause()
  const agent = await h2Agent(rig)
  const stream = agent.request(chat())
  const whole = answered(stream)
  stream.end(Buffer.alloc(MEGABYTES * 2 ** 20, 'x'))
  for (let before = -1; before < received || received === 0; ) {
    before = received
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  t.ok(received < (MEGABYTES - 8) * 2 ** 20, `${received} bytes went on`)
  for (const socket of rig.recorder.sockets) socket.resume()
  t.equal((await whole).body.toString(), 'all of it')
  t.equal(received, MEGABYTES * 2 ** 20)
})

t.test('a reset of either side reaches the other with its code, and is recorded', async (t) => {
  const codes: number[] = []
  const rig = await startH2Rig((stream, headers) => {
    stream.on('close', () => codes.push(stream.rstCode))
    if (headers['x-reset'] === undefined) stream.respond({ ':status': 200 })
    else stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  })
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig)
  const refused = await ask(agent, chat({ 'x-reset': '1' }), 'body')
  t.equal(refused.code, constants.NGHTTP2_ENHANCE_YOUR_CALM)
  t.match((await rig.recorder.ended()).end, {
    outcome: 'upstream-aborted',
    error: { code: 'upstream_closed' },
  })
  const stream = agent.request(chat())
  const whole = answered(stream)
  stream.write('some')
  await new Promise((resolve) => stream.once('response', resolve))
  stream.close(constants.NGHTTP2_CANCEL)
  await whole
  t.match((await rig.recorder.ended(1)).end, { outcome: 'client-aborted' })
  while (codes.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  t.same(codes, [constants.NGHTTP2_ENHANCE_YOUR_CALM, constants.NGHTTP2_CANCEL])
})

t.test(
  'a provider that leaves is said to the agent; what it had begun ends, the rest may be asked again',
  async (t) => {
    const rig = await startH2Rig((stream) => {
      stream.respond({ ':status': 200 })
      stream.write('first')
      stream.session?.goaway(0, stream.id)
      setTimeout(() => stream.end(' and last'), 50)
    })
    t.teardown(() => rig.stop())
    const agent = await h2Agent(rig)
    const told = new Promise((resolve) => agent.once('goaway', (code) => resolve(code)))
    const answer = await ask(agent, chat(), 'body')
    t.equal(await told, 0)
    t.equal(answer.body.toString(), 'first and last')
    t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
    await new Promise((resolve) => agent.once('close', resolve))
    const next = await h2Agent(rig)
    t.equal((await ask(next, chat(), 'body')).body.toString(), 'first and last')
  },
)

t.test(
  'a provider that goes away is 502 where nothing was answered, and a reset where something was',
  async (t) => {
    const rig = await startH2Rig((stream, headers) => {
      if (headers['x-answer'] !== undefined) stream.respond({ ':status': 200 })
      stream.on('end', () => setImmediate(() => stream.session?.destroy()))
      stream.resume()
    })
    t.teardown(() => rig.stop())
    const silent = await ask(await h2Agent(rig), chat(), 'body')
    t.equal(silent.headers[':status'], 502)
    t.match(JSON.parse(silent.body.toString()), { error: { code: 'upstream_closed' } })
    const cut = await ask(await h2Agent(rig), chat({ 'x-answer': '1' }), 'body')
    t.equal(cut.headers[':status'], 200)
    t.not(cut.code, 0)
    for (const n of [0, 1]) t.match((await rig.recorder.ended(n)).end, { outcome: 'upstream-aborted' })
  },
)

t.test('an agent that goes away ends its streams at the provider', async (t) => {
  const codes: number[] = []
  const rig = await startH2Rig((stream) => {
    stream.respond({ ':status': 200 })
    stream.on('close', () => codes.push(stream.rstCode))
  })
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig)
  const stream = agent.request(chat())
  stream.on('error', () => {})
  stream.end('body')
  await new Promise((resolve) => stream.once('response', resolve))
  agent.destroy()
  t.match((await rig.recorder.ended()).end, { outcome: 'client-aborted' })
  while (codes.length < 1) await new Promise((resolve) => setTimeout(resolve, 5))
})

t.test(
  'speaks what the provider chooses, asks it once, and refuses agents that could not speak with it',
  async (t) => {
    const both = await startH2Rig((stream) => {
      stream.respond({ ':status': 200 })
      stream.end()
    })
    t.teardown(() => both.stop())
    for (const _ of [0, 1]) {
      t.equal((await both.agent({ alpn: ['h2', 'http/1.1'] })).alpnProtocol, 'h2')
      t.equal((await both.agent({ alpn: ['h2'] })).alpnProtocol, 'h2')
      t.equal((await both.agent({ alpn: ['http/1.1'] })).alpnProtocol, 'http/1.1')
      t.equal((await both.agent()).alpnProtocol, false)
    }
    const old = await startRig({ provider: answering(() => 'HTTP/1.1 204 No Content\r\n\r\n') })
    t.teardown(() => old.stop())
    const agent = await old.agent({ alpn: ['h2', 'http/1.1'] })
    t.equal(agent.alpnProtocol, 'http/1.1')
    const answer = reading(agent)
    agent.write(`GET /v1/models HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
    await answer.until('204')
    t.equal(old.provided.length, 1, 'the connection that was asked serves the first request')
    await t.rejects(old.agent({ alpn: ['h2'] }))
  },
)

t.test(
  'an agent that was promised HTTP/2 which the provider no longer speaks is sent to come again',
  async (t) => {
    const alpn = ['h2', 'http/1.1']
    const rig = await startH2Rig(
      (stream) => {
        stream.respond({ ':status': 200 })
        stream.end()
      },
      { alpn },
    )
    t.teardown(() => rig.stop())
    t.equal((await ask(await h2Agent(rig), chat(), 'body')).headers[':status'], 200)
    alpn.shift()
    const late = await h2Agent(rig)
    const told = new Promise((resolve) => late.once('goaway', resolve))
    const refused = ask(late, chat(), 'body')
    t.equal(await told, constants.NGHTTP2_HTTP_1_1_REQUIRED)
    t.equal((await refused).headers[':status'], undefined)
    t.equal((await rig.agent({ alpn: ['h2', 'http/1.1'] })).alpnProtocol, 'http/1.1')
    t.equal(rig.recorder.frames.filter(({ type }) => type === 1).length, 1, 'nothing was forwarded')
  },
)

t.test(
  'a provider that can’t be reached is 502 in HTTP/2 too, for agents that speak nothing else',
  async (t) => {
    const rig = await startH2Rig(() => {}, {
      staticHosts: { [NAME]: { addresses: ['127.0.0.1'] } },
    })
    t.teardown(() => rig.stop())
    t.equal((await rig.agent({ alpn: ['h2', 'http/1.1'] })).alpnProtocol, 'http/1.1')
    const socket = await rig.agent({ alpn: ['h2'] })
    const agent = connect(`https://${NAME}`, { createConnection: () => socket })
    agent.on('error', () => {})
    const answer = await ask(agent, chat(), 'body')
    t.equal(answer.headers[':status'], 502)
    t.match(JSON.parse(answer.body.toString()), { error: { code: 'upstream_untrusted' } })
    t.match((await rig.recorder.ended()).end, { outcome: 'upstream-untrusted' })
  },
)

t.test(
  'without a recorder a stream is 503 and the provider gets nothing; what is not recorded passes',
  async (t) => {
    const seen: string[] = []
    const rig = await startH2Rig((stream, headers) => {
      seen.push(headers[':path'] ?? '')
      // After the request's end, which waits for the disk: an answer before it would pass.
      stream.resume().on('end', () => {
        if (!stream.aborted) stream.respond({ ':status': 200 }, { endStream: true })
      })
      stream.on('error', () => {})
    })
    t.teardown(() => rig.stop())
    const agent = await h2Agent(rig)
    await rig.recorder.stop()
    while (rig.worker.state().recorder === 'connected') await new Promise((resolve) => setTimeout(resolve, 5))
    const refused = await ask(agent, chat(), 'body')
    t.equal(refused.headers[':status'], 503)
    t.same(seen, [])
    await rig.recorder.start()
    while (rig.worker.state().recorder === 'lost') await new Promise((resolve) => setTimeout(resolve, 5))
    t.equal((await ask(agent, chat(), 'body')).headers[':status'], 200)
    rig.recorder.mode = 'failed'
    const full = await ask(agent, chat(), 'body')
    t.equal(full.headers[':status'], 503)
    t.match(full.body.toString(), /disk full/)
  },
)

t.test('keys in the path are fingerprints in the record, Alt-Svc is not shown to the agent', async (t) => {
  const rig = await startH2Rig((stream, headers) => {
    const session = stream.session as ServerHttp2Session
    session.altsvc('h3=":443"', stream.id as number)
    stream.respond({ ':status': 200, 'alt-svc': 'h3=":443"', 'x-path': headers[':path'] })
    stream.end()
  })
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig)
  let offered = false
  agent.on('altsvc', () => {
    offered = true
  })
  const answer = await ask(agent, chat({ ':method': 'GET', ':path': '/v1/models?key=s3cr3t&a=b' }))
  t.equal(answer.headers['alt-svc'], undefined)
  t.equal(answer.headers['x-path'], '/v1/models?key=s3cr3t&a=b')
  t.notOk(offered)
  const recorded = await rig.recorder.ended()
  t.match(recorded.requestHead, /:path: \/v1\/models\?key=fp_[0-9a-f]{32}&a=b\r\n/)
  t.match(JSON.stringify(recorded.open.credentials), /"query:key"/)
  t.match(recorded.responseHead, /alt-svc: h3=/)
})

t.test(
  'a tunnel of extended CONNECT that is no WebSocket passes both ways where the provider offers it, and is recorded',
  async (t) => {
    const rig = await startH2Rig(
      (stream, headers) => {
        if (headers[':method'] !== 'CONNECT') return
        stream.respond({ ':status': 200, 'sec-websocket-protocol': 'realtime' })
        stream.on('data', (bytes: Buffer) => stream.write(`you said ${bytes}`))
        stream.on('end', () => stream.end(', and left'))
      },
      { settings: { enableConnectProtocol: true } },
    )
    t.teardown(() => rig.stop())
    const agent = await h2Agent(rig)
    if (!agent.remoteSettings?.enableConnectProtocol)
      await new Promise((go) => agent.once('remoteSettings', go))
    rig.recorder.mode = 'silent'
    const asked = chat({
      ':method': 'CONNECT',
      ':protocol': 'connect-udp',
      ':path': '/v1/realtime?model=gpt-5',
    })
    const stream = agent.request(asked, { endStream: false })
    const whole = answered(stream)
    let headed = false
    stream.on('response', () => {
      headed = true
    })
    await rig.recorder.until(() => rig.recorder.frames.some(({ type }) => type === 4))
    await new Promise((resolve) => setTimeout(resolve, 50))
    t.notOk(headed, 'nothing goes out before it is on disk')
    rig.recorder.answer(rig.recorder.frames[0]?.exchange as number, true)
    await new Promise((resolve) => stream.once('response', resolve))
    stream.write('hello')
    await new Promise((resolve) => stream.once('data', resolve))
    stream.end()
    t.equal((await whole).body.toString(), 'you said hello, and left')
    const recorded = await rig.recorder.ended()
    t.match(recorded.end, { outcome: 'complete', upgraded: true })
    t.match(recorded.requestHead, /:protocol: connect-udp\r\n/)
    t.equal(recorded.requestBody.toString(), 'hello')
    t.equal(recorded.responseBody.toString(), 'you said hello, and left')
  },
)

t.test('stopping lets streams finish and takes no new ones', async (t) => {
  const rig = await startH2Rig((stream) => {
    stream.respond({ ':status': 200 })
    stream.write('begun')
    setTimeout(() => stream.end(', done'), 100)
  })
  t.teardown(() => rig.stop())
  const agent = await h2Agent(rig)
  const stream = agent.request(chat())
  const whole = answered(stream)
  stream.end('body')
  await new Promise((resolve) => stream.once('response', resolve))
  const stopped = rig.worker.stop()
  t.equal((await whole).body.toString(), 'begun, done')
  await stopped
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
})

t.test('fields arrive as sent whatever tables either side allows', async (t) => {
  for (const [own, others] of [
    [0, 4096],
    [100, 0],
    [65_536, 100],
    [4096, 65_536],
  ] as const) {
    const rig = await startH2Rig(
      (stream, _headers, raw) => {
        stream.respond({ ':status': 200, 'x-seen': JSON.stringify(raw.slice(8)), 'x-same': 'y'.repeat(90) })
        stream.end()
      },
      { settings: { headerTableSize: others } },
    )
    const agent = await h2Agent(rig, { settings: { headerTableSize: own } })
    for (let i = 0; i < 40; i++) {
      const fields = { 'x-same': 'always', [`x-${i % 7}`]: `${i % 3}`.repeat(i * 9), 'x-new': `${i}` }
      const answer = await ask(agent, {
        ...{ ':authority': NAME, ':scheme': 'https', ':method': 'GET', ':path': '/v1/models' },
        ...fields,
      })
      const seen = JSON.parse(`${answer.headers['x-seen']}`)
      if (JSON.stringify(seen) !== JSON.stringify(Object.entries(fields).flat())) t.same(seen, fields)
    }
    t.pass(`tables of ${own} and ${others}`)
    await rig.stop()
  }
})
