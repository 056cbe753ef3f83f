/** A foreign name towards a provider's address: only where the server there has a certificate for it. */
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { createSecureContext, createServer, type Server, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { Passage } from '../../daemon/proxy/passage.ts'
import { Question } from '../../daemon/proxy/question.ts'
import type { Shared } from '../../daemon/proxy/relay/facts.ts'
import { type Sniffed, sniff } from '../../daemon/proxy/sniff/sniff.ts'
import type { Finding, Inquiry } from '../../daemon/proxy/vouching/certificate-probe.ts'
import { Vouching } from '../../daemon/proxy/vouching/vouching.ts'
import { holdsGoverned } from '../../policies/catalogue.ts'
import { decide } from '../../policies/decide.ts'
import type { Seen } from '../../policies/decision.ts'
import { makeRoot, type Shown } from './certificate-fixture.ts'
import { answering, gateway, NAME, reading, rulesOf, startRig } from './proxy-rig.ts'
import { clientHello } from './proxy-wire.ts'

const root = await makeRoot('Known Root')
const stranger = await makeRoot('Stranger Root')
const SITE = 'www.other.example'
const EVIL = 'mine.evil.example'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** A front end at a provider's address: it answers to any name, with the provider's certificate if it knows none. */
async function front(t: Test, sites: Readonly<Record<string, Shown>>, alpn = ['http/1.1']) {
  const provider = await root.leaf([NAME])
  const asked: string[] = []
  let received = ''
  const server: Server = createServer(
    {
      ...provider,
      ALPNProtocols: alpn,
      SNICallback: (name, done) => {
        asked.push(name)
        const site = sites[name]
        done(null, createSecureContext(site ?? provider))
      },
    },
    (socket: TLSSocket) => {
      socket.on('error', () => {})
      socket.on('data', (bytes) => {
        received += bytes.toString('latin1')
        socket.write(OK)
      })
    },
  )
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    get received() {
      return received
    },
  }
}

interface Setting {
  readonly policy?: string
  readonly port: number
  readonly names: readonly string[]
}

const rigFor = async (t: Test, { policy = 'standard', port, names }: Setting) => {
  const rig = await startRig({
    provider: () => t.fail('nothing else may be dialled'),
    destination: () => ({ address: '127.0.0.1', port }),
    rules: rulesOf(policy),
    systemRoots: [root.pem],
    staticHosts: Object.fromEntries(names.map((name) => [name, { addresses: ['127.0.0.1'] }])),
  })
  t.teardown(() => rig.stop())
  return rig
}

const get = (host: string, path = '/') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`

t.test('a site that shares the address is passed on untouched, and asked for once', async (t) => {
  const { port, asked } = await front(t, { [SITE]: await root.leaf([SITE]) })
  const rig = await rigFor(t, { port, names: [SITE] })
  for (let i = 0; i < 3; i++) {
    const agent = await rig.agent({ servername: SITE, ca: root.pem, alpn: ['http/1.1'] })
    t.match(agent.getPeerCertificate().issuer.CN, 'Known Root', 'with its own certificate')
    const read = reading(agent)
    agent.write(get(SITE))
    await read.until('ok')
  }
  t.same(asked, Array(4).fill(SITE), 'one question, three connections')
  t.equal(rig.recorder.refusals().length, 0)
})

t.test('an agent’s own domain at the provider’s address is refused: nothing of it gets out', async (t) => {
  const site = await front(t, {})
  const rig = await rigFor(t, { port: site.port, names: [EVIL] })
  for (let i = 0; i < 2; i++) await t.rejects(rig.agent({ servername: EVIL, ca: root.pem }))
  await rig.recorder.until(() => rig.recorder.refusals().length === 2)
  for (const refusal of rig.recorder.refusals()) {
    t.match(refusal, { rule: 'standard/unvouched-name', serverName: EVIL, reason: /127\.0\.0\.1 port/ })
  }
  t.same(site.asked, [EVIL], 'asked once')
  t.equal(site.received, '')
  t.equal(rig.worker.state().spliced, 0)
})

t.test('an unknown root, a certificate that has ended, and another’s vouch for nothing', async (t) => {
  const shown: [string, Shown][] = [
    ['stranger.example', await stranger.leaf(['stranger.example'])],
    ['old.example', await root.leaf(['old.example'], -1)],
    ['other.example', await root.leaf(['another.example', '*.other.example'])],
  ]
  const { port } = await front(t, Object.fromEntries(shown))
  const names = shown.map(([name]) => name)
  const rig = await rigFor(t, { port, names })
  for (const servername of names) await t.rejects(rig.agent({ servername, ca: root.pem }), servername)
  await rig.recorder.until(() => rig.recorder.refusals().length === names.length)
  t.same(new Set(rig.recorder.refusals().map(({ rule }) => rule)), new Set(['standard/unvouched-name']))
})

t.test('a wildcard vouches for a name below it', async (t) => {
  const { port } = await front(t, { 'a.other.example': await root.leaf(['*.other.example']) })
  const rig = await rigFor(t, { port, names: ['a.other.example'] })
  const agent = await rig.agent({ servername: 'a.other.example', ca: root.pem })
  t.match(agent.getPeerCertificate().issuer.CN, 'Known Root')
})

t.test('the name is asked for as the agent spells it, and with its ALPN', async (t) => {
  const { port, asked } = await front(t, { [SITE]: await root.leaf([SITE]) }, ['acme-tls/1', 'http/1.1'])
  const rig = await rigFor(t, { port, names: [SITE] })
  await rig.agent({ servername: SITE, ca: root.pem, alpn: ['http/1.1'] })
  await rig.agent({ servername: SITE, ca: root.pem, alpn: ['acme-tls/1'] })
  t.equal(asked.length, 4, 'each ALPN is a question of its own')
  const dotted = await rig.plain()
  const read = reading(dotted)
  dotted.write(await clientHello({ servername: 'WWW.other.example.' }))
  await read.until('end')
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/unvouched-name', serverName: SITE })
  t.equal(asked.at(-1), 'WWW.other.example.', 'which this front takes for no name that it knows')
})

t.test('a server with governed names in its certificate is looked into', async (t) => {
  const name = 'platform.openai.com'
  for (const names of [[name, NAME], ['*.openai.com']]) {
    const site = await front(t, { [name]: await root.leaf(names) })
    const rig = await rigFor(t, { port: site.port, names: [name] })
    const agent = await rig.agent({ servername: name, ca: gateway.certificatePem })
    const read = reading(agent)
    agent.write(get(name))
    await read.until('ok')
    t.equal(rig.recorder.frames.length, 0, 'a page is no LLM call')
    agent.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: ${name}\r\nContent-Length: 2\r\n\r\n{}`)
    t.match((await rig.recorder.ended()).open, {
      provider: 'unlisted',
      serverName: name,
      flags: ['unlisted-host'],
      policy: { rule: 'standard/shared-certificate' },
    })
    read.clear()
    agent.write(get(NAME))
    t.match(await read.until('end'), /HTTP\/1.1 421 /, 'the governed name inside gets nowhere')
    await rig.recorder.until(() => rig.recorder.refusals().length === 1)
    t.match(rig.recorder.refusals()[0], { rule: 'standard/name-mismatch' })
    t.notMatch(site.received, NAME)
  }
})

t.test('and is refused where our CA may not speak for the name', async (t) => {
  const name = 'shop.example.net'
  const { port } = await front(t, { [name]: await root.leaf([name, NAME]) })
  const rig = await rigFor(t, { port, names: [name] })
  await t.rejects(rig.agent({ servername: name, ca: root.pem }))
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/shared-certificate', serverName: name })
})

t.test('plain HTTP needs a certificate at port 443, which nobody has here', async (t) => {
  const rig = await rigFor(t, { port: 9, names: [EVIL] })
  const agent = await rig.plain()
  const read = reading(agent)
  agent.write(get(EVIL))
  t.match(await read.until('end'), /^HTTP\/1.1 403 /)
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/unvouched-name', serverName: EVIL })
})

t.test('plain HTTP under a name that is vouched for passes, but no other name after it', async (t) => {
  for (const [policy, passes] of [
    ['standard', false],
    ['observe', true],
  ] as const) {
    let got = ''
    const site = createTcpServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', (bytes) => {
        got += bytes.toString('latin1')
        socket.write(OK)
      })
    })
    const listener = createTcpServer({ pauseOnConnect: true, allowHalfOpen: true })
    for (const server of [site, listener]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      t.teardown(() => server.close())
    }
    const rules = rulesOf(policy)
    const refusals: { rule: string; serverName?: string }[] = []
    const facts = {
      agent: { uid: 1000 },
      client: { address: '127.0.0.1', port: 1 },
      originalDestination: { address: '127.0.0.1', port: (site.address() as AddressInfo).port },
    }
    const isProvider = () => true
    const asked = {
      policy: rules.policy,
      decide: (seen: Seen) => decide(rules, seen),
      isProvider,
      isOwn: () => false,
    }
    const question = new Question(asked, facts)
    const shared = {
      policy: rules.policy,
      vouching: new Vouching({ probe: async () => ({ standing: 'own', why: '' }) }),
      directory: { route: async () => ({ addresses: ['127.0.0.1'], mismatch: false }) },
      recorder: { refuse: (refusal: { rule: string }) => refusals.push(refusal) },
      counters: { spliced: 0, refused: 0, tunnels: 0 },
      dialled: () => {},
    } as unknown as Shared
    listener.once('connection', (socket) => {
      socket.on('error', () => {})
      const seen = Buffer.from(get(SITE))
      const sniffed = sniff(seen) as Sniffed
      const take = () => t.fail('nothing is to be taken over')
      new Passage({ shared, question, facts, take }).start(socket, seen, question.about(sniffed), sniffed)
    })
    const agent = connect((listener.address() as AddressInfo).port, '127.0.0.1')
    agent.on('error', () => {})
    const read = reading(agent)
    await read.until('ok')
    t.same(refusals, [])
    read.clear()
    agent.write(get(SITE, '/again'))
    await read.until('ok')
    read.clear()
    agent.write(get(EVIL))
    await read.until(passes ? 'ok' : 'end')
    t.match(refusals, [{ rule: `${policy}/unvouched-name`, serverName: EVIL }], policy)
    t.equal(got, get(SITE) + get(SITE, '/again') + (passes ? get(EVIL) : ''))
    agent.destroy()
  }
})

t.test('plain HTTP that began with an LLM call is recorded whole there', async (t) => {
  const rig = await startRig({ tls: false, provider: answering(() => OK) })
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  agent.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: ${EVIL}\r\nContent-Length: 2\r\n\r\n{}`)
  await read.until('ok')
  agent.write(get(EVIL, '/v1/files'))
  t.match((await rig.recorder.ended(1)).open, { provider: 'unlisted', serverName: EVIL })
  t.match((await rig.recorder.ended(1)).requestHead, /^GET \/v1\/files /)
})

t.test('a ClientHello with two names is vouched for by neither, and hides no governed one', async (t) => {
  const { port } = await front(t, { [SITE]: await root.leaf([SITE]) })
  const rig = await rigFor(t, { port, names: [SITE] })
  const hello = await twoNames(SITE, 'another.example')
  const agent = await rig.plain()
  agent.write(hello)
  await reading(agent).until('end')
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/no-name-provider-address' })

  const elsewhere = await startRig({ provider: () => t.fail('it may not get out'), providerAddresses: [] })
  t.teardown(() => elsewhere.stop())
  const other = await elsewhere.plain()
  other.write(await twoNames(SITE, NAME))
  await reading(other).until('end')
  await elsewhere.recorder.until(() => elsewhere.recorder.refusals().length === 1)
  t.match(elsewhere.recorder.refusals()[0], { rule: 'standard/governed-name', serverName: NAME })
})

/** A real ClientHello whose list of server names has a second one. */
async function twoNames(first: string, second: string): Promise<Buffer> {
  const hello = await clientHello({ servername: first, maxVersion: 'TLSv1.2' })
  const at = hello.indexOf(first)
  const added = Buffer.concat([Buffer.from([0, 0, second.length]), Buffer.from(second)])
  const longer = Buffer.concat([
    hello.subarray(0, at + first.length),
    added,
    hello.subarray(at + first.length),
  ])
  // Lengths of the list and its extension, of all extensions, of the message and of the record.
  const message = 5
  const session = longer[message + 38] as number
  const ciphers = message + 39 + session
  const extensions = ciphers + 2 + longer.readUInt16BE(ciphers) + 2
  for (const place of [at - 5, at - 7, extensions, message + 2, 3])
    longer.writeUInt16BE(longer.readUInt16BE(place) + added.length, place)
  return longer
}

t.test('a name among the exceptions is no exception there', async (t) => {
  const { port } = await front(t, {})
  const rig = await startRig({
    provider: () => t.fail('nothing else may be dialled'),
    destination: () => ({ address: '127.0.0.1', port }),
    rules: rulesOf('standard', { proxy: { unknownName: 'intercept', exceptions: [EVIL] } }),
    systemRoots: [root.pem],
  })
  t.teardown(() => rig.stop())
  await t.rejects(rig.agent({ servername: EVIL, ca: root.pem }))
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/unvouched-name' })
})

t.test('observe lets it pass and says so', async (t) => {
  const { port } = await front(t, {})
  const rig = await rigFor(t, { policy: 'observe', port, names: [EVIL] })
  const agent = rig.agent({ servername: EVIL, ca: root.pem })
  await agent.catch(() => {})
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'observe/unvouched-name', reason: /^let through/ })
  t.match(rig.worker.state(), { spliced: 1, refused: 0 })
})

t.test('a server that doesn’t finish its handshake holds nobody for ever', async (t) => {
  const silent = createTcpServer((socket) => socket.on('error', () => {}))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => silent.close())
  const rig = await rigFor(t, { port: (silent.address() as AddressInfo).port, names: [EVIL] })
  await t.rejects(rig.agent({ servername: EVIL, ca: root.pem }))
  await rig.recorder.until(() => rig.recorder.refusals().length === 1, 8000)
  t.match(rig.recorder.refusals()[0], { reason: /no certificate in time/ })
})

const inquiry = (name: string): Inquiry => ({ address: '192.0.2.1', port: 443, name, sni: name, alpn: [] })

t.test('answers are remembered: a yes for an hour, a no for a minute', async (t) => {
  let time = 0
  const asked: string[] = []
  const vouching = new Vouching({
    clock: () => time,
    probe: async ({ name }): Promise<Finding> => {
      asked.push(name)
      return { standing: name === SITE ? 'own' : 'none', why: '' }
    },
  })
  const ask = async () => {
    asked.length = 0
    await Promise.all([SITE, SITE, EVIL, EVIL].map((name) => vouching.ask(inquiry(name), 'uid 1')))
    return asked.join(' ')
  }
  t.equal(await ask(), `${SITE} ${EVIL}`, 'one question each, also at once')
  time += 59_000
  t.equal(await ask(), '')
  time += 2000
  t.equal(await ask(), EVIL)
  time += 3600_000
  t.equal(await ask(), `${SITE} ${EVIL}`)
  vouching.forget(inquiry(SITE))
  t.equal(await ask(), SITE)
})

t.test('a flood of names is refused beyond its agent’s share, and takes nobody else’s', async (t) => {
  let time = 0
  let asked = 0
  const vouching = new Vouching({
    clock: () => time,
    probe: async () => {
      asked += 1
      return { standing: 'own', why: '' }
    },
  })
  const flood = async (asker: string) => {
    const before = asked
    for (let i = 0; i < 1000; i++) await vouching.ask(inquiry(`${asker}${i}.evil.example`), asker)
    return asked - before
  }
  t.equal(await flood('a'), 100)
  t.match(await vouching.ask(inquiry('one-more.example'), 'a'), { standing: 'none', why: /too many/ })
  t.match(await vouching.ask(inquiry(SITE), 'b'), { standing: 'own' }, 'another agent is answered')
  t.match(await vouching.ask(inquiry(SITE), 'a'), { standing: 'own' }, 'as is what is known already')
  time += 10_000
  t.match(
    await vouching.ask(inquiry('later.example'), 'a'),
    { standing: 'own' },
    'and later it may ask again',
  )

  const stuck = new Vouching({ clock: () => time, probe: () => new Promise(() => {}) })
  for (let i = 0; i < 400; i++) void stuck.ask(inquiry(`n${i}.example`), `uid ${i}`)
  t.match(await stuck.ask(inquiry('late.example'), 'z'), { standing: 'none' }, 'a bound for all together')
})

t.test('which names of a certificate are governed', async (t) => {
  const { catalogue } = rulesOf('standard')
  for (const held of [
    NAME,
    'API.OPENAI.COM',
    '*.openai.com',
    '*.googleapis.com',
    '*.openai.azure.com',
    '*.githubcopilot.com',
  ])
    t.ok(holdsGoverned(catalogue, held), held)
  for (const held of [
    'platform.openai.com',
    '*.example.com',
    '*.example',
    '*.platform.openai.com',
    'openai.example',
    '*',
    '',
  ])
    t.notOk(holdsGoverned(catalogue, held), held)
})
