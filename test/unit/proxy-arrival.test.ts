/** What becomes of connections that aren't plainly governed TLS: spliced untouched, refused, or watched. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import t from 'tap'
import { answering, identity, internet, NAME, reading, startRig } from './proxy-rig.ts'
import { clientHello } from './proxy-wire.ts'

const tick = (ms = 2) => new Promise((resolve) => setTimeout(resolve, ms))

t.test('passes TLS to other names through untouched, with the site’s own certificate', async (t) => {
  const site = createTlsServer(await identity(internet, 'www.other.example'), (socket) => {
    socket.on('data', (bytes) => socket.end(`got ${bytes}`))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', () => resolve()))
  t.teardown(() => site.close())
  const rig = await startRig({
    startRecorder: false,
    provider: () => {},
    providerAddresses: [],
    destination: () => ({ address: '127.0.0.1', port: (site.address() as AddressInfo).port }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent({ servername: 'www.other.example', ca: internet.certificatePem })
  const read = reading(agent)
  agent.write('hello')
  await read.until('end')
  t.equal(read.text, 'got hello')
  t.equal(rig.worker.state().spliced, 1)
})

/** A plain TCP server in the provider's place; the address is known as a provider's or not. */
async function tcpRig(serve: (socket: Socket) => void, known: boolean) {
  return startRig({ tls: false, provider: serve, providerAddresses: known ? ['127.0.0.1'] : [] })
}

t.test('passes other protocols through with half-close, both ways, in whole', async (t) => {
  const rig = await tcpRig((socket) => {
    const chunks: Buffer[] = []
    socket.on('data', (bytes) => chunks.push(bytes))
    socket.on('end', () => socket.end(Buffer.concat(chunks)))
  }, false)
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  const sent = Buffer.alloc(3 << 20, '\x01binary')
  agent.end(sent)
  await read.until('end')
  t.ok(read.bytes.equals(sent))
  t.equal(rig.recorder.frames.length, 0)
})

t.test('lets the server speak first after the sniffing time', async (t) => {
  const rig = await tcpRig((socket) => {
    socket.write('220 mail ready\r\n')
    socket.on('data', (bytes) => socket.write(`ok ${bytes}`))
  }, false)
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  await read.until('220 mail ready')
  agent.write('EHLO me\r\n')
  await read.until('ok EHLO me\r\n')
  agent.write('GET / HTTP/1.1\r\nHost: api.openai.com\r\n\r\n')
  await read.until('ok GET')
  t.equal(rig.recorder.refusals().length, 0, 'what follows is no start of a connection')
})

t.test('cuts a connection that was silent and then names a provider', async (t) => {
  let seen = 0
  const rig = await tcpRig((socket) => {
    socket.write('220 hi\r\n')
    socket.on('data', (bytes) => {
      seen += bytes.length
    })
  }, false)
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  await read.until('220 hi')
  agent.write('GET / HTTP/1.1\r\nHo')
  await tick(20)
  agent.write('st: api.openai.com\r\n\r\n')
  await read.until('end')
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { serverName: NAME, rule: 'standard/governed-name', reason: /silent/ })
  t.equal(seen, 0)
})

t.test(
  'refuses towards a provider’s address what has no name, another protocol, or says nothing',
  async (t) => {
    const rig = await tcpRig(() => t.fail('nothing may reach the provider'), true)
    t.teardown(() => rig.stop())
    const other = /standard\/other-protocol-provider-address/
    const hello = await clientHello({ servername: NAME })
    const sslRequest = Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f])
    const attempts: [string | Buffer, RegExp][] = [
      ['SSH-2.0-x\r\n', other],
      ['EHLO me\r\n', other],
      ['a STARTTLS\r\n', other],
      [Buffer.concat([sslRequest, hello]), other],
      [Buffer.concat([Buffer.from('PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n'), hello]), other],
      [Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a2111000c', 'hex'), hello]), other],
      // A ClientHello in the form of SSL 2: no extensions, so no name.
      [Buffer.from('802e0103010015000000100100800200800600400000000400000500000a', 'hex'), other],
      ['GET /v1/models\r\n\r\n', other],
      ['CONNECT other.example:443 HTTP/1.1\r\nHost: other.example\r\n\r\n', other],
      ['GET / HTTP/1.0\r\n\r\n', /standard\/no-name-provider-address/],
      ['GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', /standard\/no-name-provider-address/],
      ['', /standard\/silent-provider-address/],
    ]
    for (const [i, [bytes, rule]] of attempts.entries()) {
      const agent = await rig.plain()
      const read = reading(agent)
      if (bytes.length > 0) agent.write(bytes)
      await read.until('end')
      await rig.recorder.until(() => rig.recorder.refusals().length === i + 1)
      t.match(rig.recorder.refusals()[i], { rule, agent: { uid: 1000 } })
    }
    const probe = await rig.plain()
    probe.end()
    await tick(50)
    t.equal(
      rig.recorder.refusals().length,
      attempts.length,
      'a probe that says nothing and closes is no attempt',
    )
  },
)

t.test('another name towards a provider’s address reaches only the addresses of that name', async (t) => {
  const rig = await startRig({
    tls: await identity(internet, 'www.other.example'),
    provider: (socket) => socket.end('the site'),
    destination: (port) => ({ address: '203.0.113.5', port }),
    providerAddresses: ['203.0.113.5'],
    dns: () => Promise.reject(new Error('ENOTFOUND')),
    hosts: () => [],
    staticHosts: { 'www.other.example': { addresses: ['127.0.0.1'] } },
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent({ servername: 'www.other.example', ca: internet.certificatePem })
  t.equal(await reading(agent).until('end'), 'the site')
  await t.rejects(rig.agent({ servername: 'invented.example', ca: internet.certificatePem }))
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/other-name', serverName: 'invented.example' })
})

t.test('a ClientHello too long to show its name is refused wherever it goes', async (t) => {
  const rig = await tcpRig(() => t.fail('nothing may be dialled'), false)
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  agent.write(Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0, 1, 0, 0x60, 0]), Buffer.alloc(17_000, 0xaa)]))
  await read.until('end')
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/no-name-provider-address' })
})

t.test('learned addresses count as provider’s at once', async (t) => {
  const rig = await tcpRig((socket) => socket.end('hello'), false)
  t.teardown(() => rig.stop())
  const before = reading(await rig.plain())
  await before.until('hello')
  rig.worker.setProviderAddresses(['::ffff:127.0.0.1'])
  const after = reading(await rig.plain())
  await after.until('end')
  t.equal(after.text, '')
})

t.test('a destination that refuses is a reset for the agent', async (t) => {
  const rig = await startRig({
    provider: () => {},
    destination: () => ({ address: '127.0.0.1', port: 1 }),
    providerAddresses: [],
  })
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const closed = new Promise<string>((resolve) =>
    agent.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? '')),
  )
  agent.write('\x01binary')
  t.equal(await closed, 'ECONNRESET')
})

t.test('closes a connection that was dialled to itself, or whose destination is not known', async (t) => {
  for (const known of [false, true]) {
    let own = 0
    let asked = 0
    const rig = await startRig({
      provider: () => t.fail('no connection'),
      destination: () => {
        asked += 1
        return known ? { address: '127.0.0.1', port: own } : undefined
      },
      sniffTimeoutMs: 50,
      providerAddresses: [],
    })
    own = rig.proxyPort
    const agent = await rig.plain()
    await reading(agent).until('end')
    t.equal(asked, 1)
    t.match(rig.worker.state(), { connections: 0, spliced: 0 })
    await rig.stop()
  }
})

t.test('an agent that does not trust us, or speaks only HTTP/2, is recorded as refused', async (t) => {
  const rig = await startRig({ provider: answering(() => undefined) })
  t.teardown(() => rig.stop())
  await t.rejects(rig.agent({ ca: internet.certificatePem }))
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], {
    serverName: NAME,
    reason: /^the agent did not finish the TLS handshake/,
  })
  await t.rejects(rig.agent({ alpn: ['h2'] }))
  await rig.recorder.until(() => rig.recorder.refusals().length === 2)
  t.match(rig.recorder.refusals()[1], { reason: /^the agent speaks only h2 here/ })
})

t.test('a name that gets no certificate is refused and recorded', async (t) => {
  const rig = await startRig({
    provider: () => {},
    askForLeaf: () => Promise.reject(new Error('outside the constraints')),
  })
  t.teardown(() => rig.stop())
  await t.rejects(rig.agent())
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { reason: /outside the constraints/ })
})

t.test('a ClientHello may come byte by byte', async (t) => {
  const rig = await startRig({ provider: answering(() => 'HTTP/1.1 204 No Content\r\n\r\n') })
  t.teardown(() => rig.stop())
  const relay = createServer((from) => {
    const to = connect({ port: rig.proxyPort, host: '127.0.0.1', noDelay: true })
    from.on('data', async (bytes) => {
      from.pause()
      for (const byte of bytes) {
        to.write(Buffer.from([byte]))
        await new Promise((resolve) => setImmediate(resolve))
      }
      from.resume()
    })
    to.pipe(from)
    for (const one of [from, to]) one.on('error', () => {})
  })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  t.teardown(() => relay.close())
  const { gateway } = await import('./proxy-rig.ts')
  const agent = connectTls({
    port: (relay.address() as AddressInfo).port,
    host: '127.0.0.1',
    servername: NAME,
    ca: [gateway.certificatePem],
  })
  const read = reading(agent)
  agent.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  await read.until('204 No Content\r\n\r\n')
  agent.destroy()
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
})

t.test('resumes TLS sessions and asks for one leaf a name', async (t) => {
  let asked = 0
  const { gateway } = await import('./proxy-rig.ts')
  const { issueLeaf } = await import('../../ca/leaf.ts')
  const rig = await startRig({
    provider: answering(() => 'HTTP/1.1 204 No Content\r\n\r\n'),
    askForLeaf: (name, publicKeySpki) => {
      asked += 1
      return issueLeaf(gateway, { name, publicKeySpki, now: new Date() })
    },
  })
  t.teardown(() => rig.stop())
  const first = await rig.agent()
  let session: Buffer | undefined
  first.on('session', (ticket) => {
    session = ticket
  })
  const read = reading(first)
  first.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  await read.until('204')
  while (!session) await tick()
  const second = connectTls({
    port: rig.proxyPort,
    host: '127.0.0.1',
    servername: NAME,
    ca: [gateway.certificatePem],
    session,
  })
  await new Promise((resolve) => second.once('secureConnect', resolve))
  t.ok(second.isSessionReused())
  second.destroy()
  t.equal(asked, 1)
})

t.test('stopping lets an exchange finish and closes idle connections', async (t) => {
  const rig = await startRig({
    provider: answering((request, socket) => {
      if (request.includes('/slow'))
        setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone'), 200)
      return undefined
    }),
  })
  const idle = reading(await rig.agent())
  const agent = await rig.agent()
  const read = reading(agent)
  agent.write(`GET /slow HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)
  await rig.recorder.until(() => rig.recorder.frames.length >= 3)
  const stopped = rig.worker.stop()
  await idle.until('end')
  await read.until('done')
  agent.end()
  await stopped
  t.match((await rig.recorder.ended()).end, { outcome: 'complete' })
  await rig.stop()
})

t.test('a link-local address or a metadata service is refused before a byte is read', async (t) => {
  let address = ''
  const rig = await startRig({
    provider: () => t.fail('nothing may be dialled'),
    destination: () => ({ address, port: 80 }),
    // What the policy says doesn't matter.
    decide: () => ({ action: 'splice', rule: 'r' }),
  })
  t.teardown(() => rig.stop())
  const all = ['169.254.169.254', '::ffff:169.254.169.254', 'fe80::1', 'fd00:ec2::254', '168.63.129.16']
  for (const [i, one] of all.entries()) {
    address = one
    // The reset may come before the client knows that it is connected.
    await rig.plain().then(
      (agent) => reading(agent).until('end'),
      () => {},
    )
    await rig.recorder.until(() => rig.recorder.refusals().length === i + 1)
    t.match(rig.recorder.refusals()[i], { rule: 'standard/link-local' }, one)
  }
  while (rig.worker.state().connections > 0) await tick()
})
