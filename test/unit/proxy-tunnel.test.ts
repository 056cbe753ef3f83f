/** Tunnels and plain HTTP through somebody's proxy: passed on, looked into, cut where a provider shows. */
import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import {
  answering,
  gateway,
  identity,
  internet,
  NAME,
  type RigOptions,
  reading,
  rulesOf,
  startRig,
} from './proxy-rig.ts'
import { clientHello, connectRequest, socks5Greeting, socks5Request } from './proxy-wire.ts'

const tick = (ms = 2) => new Promise((resolve) => setTimeout(resolve, ms))

/** A host that the catalogue lacks: whatever stands there. */
const outside = (serve: (socket: Socket) => void, options: Partial<RigOptions> = {}) =>
  startRig({ tls: false, provider: serve, providerAddresses: [], ...options })

/** An HTTP proxy that takes CONNECT to anything and says what it got. */
function httpProxy(target: () => { port: number }, heard: string[] = []) {
  return (socket: Socket) => {
    socket.once('data', (bytes) => {
      heard.push(bytes.toString('latin1'))
      const to = connect({ port: target().port, host: '127.0.0.1', allowHalfOpen: true })
      to.on('error', () => socket.destroy())
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      socket.pipe(to)
      to.pipe(socket)
    })
  }
}

async function site(t: Test, serve: (socket: TLSSocket) => void) {
  const server = createTlsServer(
    { ...(await identity(internet, 'www.other.example')), allowHalfOpen: true },
    serve,
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return server.address() as AddressInfo
}

t.test('a tunnel to a foreign site works, half-closes included, and is counted', async (t) => {
  const address = await site(t, (socket) => {
    socket.on('error', () => {})
    const got: Buffer[] = []
    socket.on('data', (bytes) => got.push(bytes))
    socket.on('end', () => socket.end(`got ${Buffer.concat(got).length}`))
  })
  const rig = await outside(httpProxy(() => address))
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  agent.write(connectRequest('www.other.example:443'))
  const [established] = await once(agent, 'data')
  t.match(String(established), /^HTTP\/1.1 200 /)
  const tls = connectTls({
    socket: agent,
    servername: 'www.other.example',
    ca: [internet.certificatePem],
    allowHalfOpen: true,
  } as never)
  const read = reading(tls)
  tls.end(Buffer.alloc(2 << 20, 'x'))
  t.equal(await read.until('end'), `got ${2 << 20}`)
  t.match(rig.worker.state(), { tunnels: 1, spliced: 1, refused: 0 })
  t.equal(rig.recorder.frames.length, 0)
})

t.test('server-first protocols in a tunnel are not held up, nor single keys', async (t) => {
  const rig = await outside((socket) => {
    let open = false
    socket.on('data', (bytes) => {
      if (open) socket.write(`[${bytes}]`)
      else socket.write('HTTP/1.1 200 OK\r\n\r\n220 hello\r\n')
      open = true
    })
  })
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  agent.write(connectRequest('mail.other.example:25'))
  await read.until('220 hello')
  for (const key of ['G', 'E', 'T', ' ', '/']) {
    read.clear()
    agent.write(key)
    await read.until(`[${key}]`, 1000)
  }
  t.match(rig.worker.state(), { tunnels: 1, refused: 0 })
})

t.test('cuts a tunnel where a governed name shows, and lets nothing of it out', async (t) => {
  const hello = await clientHello({ servername: NAME })
  const inner: [string, Buffer[], RegExp][] = [
    ['TLS', [hello], /inside a tunnel to www\.other\.example:443/],
    ['plain HTTP', [Buffer.from(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)], /inside a tunnel/],
    ['CONNECT', [connectRequest(`${NAME}:443`)], /within a tunnel/],
    ['CONNECT, then TLS', [connectRequest('b.example:443'), hello], /inside a tunnel to b\.example:443/],
    ['TLS in pieces', [hello.subarray(0, 100), hello.subarray(100)], /inside a tunnel/],
  ]
  for (const [what, pieces, reason] of inner) {
    let got = ''
    const rig = await outside((socket) =>
      socket.on('data', (bytes) => {
        got += bytes.toString('latin1')
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
      }),
    )
    const agent = await rig.plain()
    const read = reading(agent)
    const head = connectRequest('www.other.example:443')
    agent.write(head)
    await read.until('200 OK\r\n\r\n')
    for (const piece of pieces) {
      agent.write(piece)
      await tick(20)
    }
    await read.until('end')
    await rig.recorder.until(() => rig.recorder.refusals().length === 1)
    t.match(
      rig.recorder.refusals()[0],
      { rule: 'standard/tunnel-governed-name', serverName: NAME, reason, agent: { uid: 1000 } },
      what,
    )
    t.notMatch(got, NAME, what)
    t.match(rig.worker.state(), { refused: 1, tunnels: 1 })
    await rig.stop()
  }
})

t.test('a stall in the middle of a ClientHello neither hides it nor lets it through', async (t) => {
  const hello = await clientHello({ servername: NAME })
  let got = 0
  const rig = await outside((socket) => {
    socket.on('data', (bytes) => {
      got += bytes.length
    })
    socket.write('ready')
  })
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  const head = connectRequest('www.other.example:443')
  agent.write(Buffer.concat([head, hello.subarray(0, 20)]))
  while (got < head.length + 20) await tick()
  t.pass('what was held goes out after a while')
  agent.write(hello.subarray(20))
  await read.until('end')
  t.equal(got, head.length + 20)
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/tunnel-governed-name' })
})

t.test('SOCKS is looked into as CONNECT is', async (t) => {
  let got = 0
  const rig = await outside((socket) =>
    socket.on('data', (bytes) => {
      got += bytes.length
      if (bytes[0] === 5 && bytes.length < 5) socket.write(Buffer.from([5, 0]))
      else socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
    }),
  )
  t.teardown(() => rig.stop())
  for (const [i, request] of [socks5Request(NAME), socks5Request('other.example')].entries()) {
    got = 0
    const agent = await rig.plain()
    const read = reading(agent)
    agent.write(socks5Greeting)
    await read.until(2)
    agent.write(request)
    if (i === 1) {
      await read.until(12)
      agent.write(await clientHello({ servername: NAME }))
    }
    await read.until('end')
    await rig.recorder.until(() => rig.recorder.refusals().length === i + 1)
    t.match(rig.recorder.refusals()[i], { rule: 'standard/tunnel-governed-name', serverName: NAME })
    t.equal(got, socks5Greeting.length + (i === 1 ? request.length : 0))
  }
})

t.test('what SOCKS is asked for beside connections is refused, or noted where nothing is', async (t) => {
  const attempts: [string, RegExp, Buffer[]][] = [
    ['BIND', /^BIND /, [socks5Greeting, Buffer.from([5, 2, 0, 1, 192, 0, 2, 9, 0, 9])]],
    ['UDP', /^UDP ASSOCIATE /, [socks5Greeting, Buffer.from([5, 3, 0, 1, 0, 0, 0, 0, 0, 0])]],
    ['4', /^BIND /, [Buffer.from([4, 2, 0, 9, 192, 0, 2, 9, 0])]],
    ['4a', /^BIND /, [Buffer.from([4, 2, 0, 9, 0, 0, 0, 1, 0, ...Buffer.from('other.example\0')])]],
  ]
  for (const policy of ['standard', 'observe']) {
    const heard: Buffer[] = []
    const serve = (socket: Socket) => socket.on('data', (bytes) => heard.push(bytes))
    const rig = await outside(serve, { rules: rulesOf(policy) })
    t.teardown(() => rig.stop())
    for (const [i, [what, reason, messages]] of attempts.entries()) {
      heard.length = 0
      const agent = await rig.plain()
      const read = reading(agent)
      for (const message of messages) {
        agent.write(message)
        await tick(20)
      }
      if (policy === 'standard') await read.until('end')
      await rig.recorder.until(() => rig.recorder.refusals().length === i + 1)
      const refusal = rig.recorder.refusals()[i] as { rule: string; reason: string }
      t.equal(refusal.rule, `${policy}/tunnel-blind`, what)
      if (policy === 'standard') t.match(refusal.reason, reason)
      else t.match(refusal.reason, /^let through/)
      const passed = policy === 'standard' ? messages.slice(0, -1) : messages
      while (Buffer.concat(heard).length < Buffer.concat(passed).length) await tick()
      t.same(Buffer.concat(heard), Buffer.concat(passed), `${what}: what the proxy outside got`)
    }
  }
})

t.test(
  'a tunnel asked for by name or address of a provider is refused before anything is dialled',
  async (t) => {
    const rig = await startRig({
      tls: false,
      provider: () => t.fail('nothing may be dialled'),
      providerAddresses: ['203.0.113.5'],
    })
    t.teardown(() => rig.stop())
    for (const [i, target] of [`${NAME}:443`, '203.0.113.5:443', '[::ffff:203.0.113.5]:443'].entries()) {
      const agent = await rig.plain()
      const read = reading(agent)
      agent.write(connectRequest(target))
      t.match(await read.until('end'), /^HTTP\/1.1 403 Forbidden\r\n.*"refused_by_policy"/s)
      await rig.recorder.until(() => rig.recorder.refusals().length === i + 1)
      t.match(rig.recorder.refusals()[i], { rule: /^standard\/tunnel-(governed-name|provider-address)$/ })
    }
  },
)

t.test('where the policy refuses tunnels all are, with an answer that says so', async (t) => {
  const rig = await outside(() => t.fail('nothing may be dialled'), {
    rules: rulesOf('standard', { proxy: { tunnel: 'refuse' } }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  agent.write(connectRequest('www.other.example:443'))
  t.match(await read.until('end'), /^HTTP\/1.1 403 /)
  const socks = await rig.plain()
  const closed = reading(socks)
  socks.write(socks5Greeting)
  await closed.until('end')
  await rig.recorder.until(() => rig.recorder.refusals().length === 2)
  for (const refusal of rig.recorder.refusals()) t.match(refusal, { rule: 'standard/tunnel' })
  t.equal(rig.worker.state().refused, 2)
})

t.test('where the policy only records, the tunnel stands and is known', async (t) => {
  const hello = await clientHello({ servername: NAME })
  let got = 0
  const rig = await outside(
    (socket) =>
      socket.on('data', (bytes) => {
        got += bytes.length
      }),
    { rules: rulesOf('observe') },
  )
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const head = connectRequest('www.other.example:443')
  agent.write(Buffer.concat([head, hello]))
  while (got < head.length + hello.length) await tick()
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], {
    rule: 'observe/tunnel-governed-name',
    serverName: NAME,
    reason: /^let through/,
  })
  t.match(rig.worker.state(), { refused: 0, tunnels: 1 })
})

t.test(
  'a later request on a connection that was passed on is recorded, or cut where it can’t be',
  async (t) => {
    const answers = (request: string) => `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${request.slice(0, 2)}`
    const rig = await outside(answering(answers))
    t.teardown(() => rig.stop())
    const call =
      'POST /v1/chat/completions HTTP/1.1\r\nHost: llm.other.example\r\nContent-Length: 13\r\n\r\n{"model":"x"}'
    const get = 'GET /page HTTP/1.1\r\nHost: www.other.example\r\n\r\n'
    const agent = await rig.plain()
    const read = reading(agent)
    agent.write(get)
    await read.until('\r\n\r\nGE')
    agent.write(get)
    await read.until('\r\n\r\nGE')
    for (const byte of Buffer.from(call)) {
      agent.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await read.until('\r\n\r\nPO')
    const { open, requestBody, end } = await rig.recorder.ended()
    t.match(open, {
      provider: 'unlisted',
      style: 'openai-chat',
      serverName: 'llm.other.example',
      tls: false,
      flags: ['unlisted-host'],
      policy: { rule: 'standard/unlisted-call' },
    })
    t.equal(requestBody.toString(), '{"model":"x"}')
    t.match(end, { outcome: 'complete', upstream: { port: rig.providerPort } })
    t.equal(rig.provided.length, 2, 'on a connection of its own')

    const pipelining = await rig.plain()
    const cut = reading(pipelining)
    pipelining.write(get + call)
    await cut.until('end')
    await rig.recorder.until(() => rig.recorder.refusals().length === 1)
    t.match(rig.recorder.refusals()[0], { rule: 'standard/unlisted-call', reason: /had been passed on/ })
  },
)

t.test(
  'an LLM call to a host in no catalogue is recorded, passed or refused, as the policy has it',
  async (t) => {
    const call =
      'POST http://llm.internal/v1/messages HTTP/1.1\r\nHost: llm.internal\r\nContent-Length: 2\r\n\r\n{}'
    const other = 'GET http://www.other.example/ HTTP/1.1\r\nHost: www.other.example\r\n\r\n'
    for (const unlistedCalls of ['record', 'pass', 'refuse'] as const) {
      const seen: string[] = []
      const rig = await outside(
        answering((request) => {
          seen.push(request)
          return 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
        }),
        { rules: rulesOf('standard', { proxy: { unlistedCalls } }) },
      )
      const agent = await rig.plain()
      const read = reading(agent)
      agent.write(call)
      if (unlistedCalls === 'refuse') {
        t.match(await read.until('end'), /^HTTP\/1.1 403 /)
        await rig.recorder.until(() => rig.recorder.refusals().length === 1)
        t.match(rig.recorder.refusals(), [{ rule: 'standard/unlisted-call', serverName: 'llm.internal' }])
      } else {
        await read.until('ok')
        read.clear()
        agent.write(other)
        await read.until('ok')
        t.same(seen, [call, other], 'as they were sent, another host on the same connection too')
        const ends = () => rig.recorder.frames.filter((frame) => frame.type === 7).length
        if (unlistedCalls === 'record') await rig.recorder.until(() => ends() > 0)
        t.equal(ends(), unlistedCalls === 'record' ? 1 : 0)
      }
      await rig.stop()
    }
  },
)

t.test('a connection that was silent is taken over where the server has said nothing either', async (t) => {
  const rig = await startRig({
    provider: answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'),
    providerAddresses: [],
    sniffTimeoutMs: 30,
  })
  t.teardown(() => rig.stop())
  const socket = await rig.plain()
  await tick(100)
  const agent = connectTls({ socket, servername: NAME, ca: [gateway.certificatePem] })
  const read = reading(agent)
  agent.write(`GET /v1/models HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  await read.until('204')
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
  t.match(rig.worker.state(), { connections: 1, refused: 0 })
  socket.destroy()
  while (rig.worker.state().connections > 0) await tick()
  t.pass('and is counted off when it closes')
})

t.test('the agent’s and the server’s half-closes pass an inspected connection', async (t) => {
  const rig = await outside((socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    socket.end('bye')
    socket.on('data', (bytes) => heard.push(bytes.toString()))
    socket.on('end', () => heard.push('end'))
  })
  t.teardown(() => rig.stop())
  const heard: string[] = []
  const agent = await rig.plain()
  const read = reading(agent)
  agent.write(connectRequest('www.other.example:7'))
  await read.until('bye')
  agent.write('after the server’s end\n')
  while (heard.length < 2) await tick()
  agent.end('GET /unfinished')
  while (heard.at(-1) !== 'end') await tick()
  t.match(heard.join(''), /after the server’s end\nGET \/unfinishedend$/)
})
