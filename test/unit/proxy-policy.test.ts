/** What the settings of a policy make of connections and exchanges. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import { issueLeaf } from '../../ca/leaf.ts'
import { unlistedProvider } from '../../policies/call-shape.ts'
import { answering, gateway, identity, internet, NAME, reading, rulesOf, startRig } from './proxy-rig.ts'
import { h2Start } from './proxy-wire.ts'

const tick = (ms = 2) => new Promise((resolve) => setTimeout(resolve, ms))
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const get = (host: string, path = '/v1/models') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`

t.test(
  'a Host that isn’t the SNI is answered 421, or recorded, flagged and sent to the SNI’s host',
  async (t) => {
    const refusing = await startRig({ provider: () => {} })
    t.teardown(() => refusing.stop())
    const refused = await refusing.agent()
    const answer = reading(refused)
    refused.write(get('chatgpt.com'))
    t.match(await answer.until('end'), /^HTTP\/1.1 421 Misdirected Request\r\n.*"misdirected_request"/s)
    await refusing.recorder.until(() => refusing.recorder.refusals().length === 1)
    t.match(refusing.recorder.refusals()[0], { rule: 'standard/name-mismatch', serverName: NAME })
    t.equal(refusing.worker.state().refused, 1)

    let seen = ''
    const rig = await startRig({
      rules: rulesOf('standard', { proxy: { nameMismatch: 'record' } }),
      provider: answering((request) => {
        seen += request
        return OK
      }),
      // Only some paths of this host are governed: under another's name the path says nothing.
      decide: () => ({
        action: 'intercept',
        rule: 'r',
        name: NAME,
        provider: { ...unlistedProvider('opaque'), id: 'p', paths: ['/ai/*'] },
      }),
    })
    t.teardown(() => rig.stop())
    const agent = await rig.agent()
    const read = reading(agent)
    agent.write(get(NAME))
    await read.until('ok')
    t.equal(rig.recorder.frames.length, 0)
    agent.write(get('chatgpt.com'))
    const { open, end, requestHead } = await rig.recorder.ended()
    t.match(open, { serverName: NAME, flags: ['name-mismatch'] })
    t.match(end, { outcome: 'complete', upstream: { port: rig.providerPort } })
    t.match(requestHead, /Host: chatgpt.com\r\n/)
    t.equal(seen, get(NAME) + get('chatgpt.com'))
  },
)

t.test('a governed name at a foreign address is corrected, or refused before TLS', async (t) => {
  const destination = (port: number) => ({ address: '203.0.113.9', port })
  const correcting = await startRig({ provider: answering(() => OK), destination })
  t.teardown(() => correcting.stop())
  const agent = await correcting.agent()
  agent.write(get(NAME))
  t.match((await correcting.recorder.ended()).end, { destinationMismatch: true })

  const rig = await startRig({
    provider: () => t.fail('nothing may be dialled'),
    destination,
    rules: rulesOf('standard', { proxy: { foreignAddress: 'refuse' } }),
  })
  t.teardown(() => rig.stop())
  await t.rejects(rig.agent())
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/foreign-address', reason: /203\.0\.113\.9/ })
  const plain = await rig.plain()
  const read = reading(plain)
  plain.write(get(NAME))
  t.match(await read.until('end'), /^HTTP\/1.1 403 /)
  while (rig.worker.state().connections > 0) await tick()
})

t.test('a governed name without TLS is refused where the policy says so', async (t) => {
  const rig = await startRig({
    tls: false,
    provider: () => t.fail('nothing may be dialled'),
    rules: rulesOf('standard', { proxy: { plainHttp: 'refuse' } }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  agent.write(get(NAME))
  t.match(await read.until('end'), /^HTTP\/1.1 403 .*agent_anchor_gateway/s)
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals(), [{ rule: 'standard/plain-http', serverName: NAME }])
})

t.test(
  'Alt-Svc is taken out of answers, all else goes as it came, and the record keeps what came',
  async (t) => {
    const head =
      'HTTP/1.1 200 Fine\r\nX-A:  1 \r\nALT-svc: h3=":443"; ma=86400\r\nx-b: é\r\nAlt-Svc: clear\r\nContent-Length: 5\r\n\r\n'
    const early = 'HTTP/1.1 103 Early Hints\r\nAlt-Svc: h3=":443"\r\nLink: </x>\r\n\r\n'
    const shown =
      'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 Fine\r\nX-A:  1 \r\nx-b: é\r\nContent-Length: 5\r\n\r\nhello'
    for (const [altSvc, expected] of [
      ['strip', shown],
      ['pass', `${early}${head}hello`],
    ] as const) {
      for (const pieces of [[`${early}${head}hello`], [early, head.slice(0, 30), head.slice(30), 'hello']]) {
        const rig = await startRig({
          rules: rulesOf('standard', { proxy: { altSvc } }),
          provider: (socket: Socket) =>
            socket.once('data', async () => {
              for (const piece of pieces) {
                socket.write(piece, 'latin1')
                await tick(10)
              }
            }),
        })
        const agent = await rig.agent()
        const read = reading(agent)
        agent.write(get(NAME))
        await read.until('hello')
        t.equal(read.text, expected)
        t.equal((await rig.recorder.ended()).responseHead, early + head)
        await rig.stop()
      }
    }
  },
)

t.test('a call goes on without a record where the policy lets it, and is counted', async (t) => {
  const rules = rulesOf('standard', { proxy: { unrecorded: 'forward' } })
  const post = `POST /v1/x HTTP/1.1\r\nHost: ${NAME}\r\nContent-Length: 4\r\n\r\nbody`
  let seen = ''
  const provider = answering((request) => {
    seen += request
    return OK
  })
  const rig = await startRig({ rules, provider, recorderTimeoutMs: 150 })
  t.teardown(() => rig.stop())
  const agent = await rig.agent()
  const read = reading(agent)
  for (const mode of ['failed', 'silent'] as const) {
    rig.recorder.mode = mode
    read.clear()
    agent.write(post)
    await read.until('ok')
  }
  t.equal(rig.worker.state().unrecorded, 2)
  rig.recorder.mode = 'durable'
  read.clear()
  agent.write(post.slice(0, -4))
  while (!rig.recorder.frames.some((frame) => frame.exchange === 3)) await tick()
  await rig.recorder.stop()
  agent.write('body')
  await read.until('ok')
  t.equal(rig.worker.state().unrecorded, 3, 'lost in the middle of a request')
  read.clear()
  agent.write(post)
  await read.until('ok')
  t.equal(rig.worker.state().unrecorded, 4, 'not there at all')
  t.equal(seen, post.repeat(4))
  t.equal(rig.worker.state().failed, 0)
})

t.test('a server on this machine that the policy names is recorded, whatever it is called', async (t) => {
  const rig = await startRig({
    tls: false,
    provider: (socket) => {
      answering(() => OK)(socket)
      socket.on('data', (bytes) => bytes[0] === 1 && socket.write('other'))
    },
    providerAddresses: [],
    rulesAt: (port) => rulesOf('strict', { enforcement: { local: [{ port, provider: 'ollama' }] } }),
  })
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  for (const host of ['localhost:11434', '127.0.0.1:11434', NAME]) {
    agent.write(`POST /api/chat HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 2\r\n\r\n{}`)
    await read.until('ok')
    read.clear()
  }
  const { open, end } = await rig.recorder.ended(2)
  t.match(open, {
    provider: 'ollama',
    style: 'ollama',
    serverName: 'localhost',
    flags: ['local'],
    policy: { rule: 'strict/local' },
  })
  t.same(end, { outcome: 'complete', upstream: { address: '127.0.0.1', port: rig.providerPort } })
  const other = await rig.plain()
  other.write('\x01other')
  await once(other, 'data')
  t.equal(rig.recorder.refusals().length, 0, 'what is no HTTP to it passes as it is, even in strict')
})

t.test('every TLS connection is looked into where the policy says so, but for its exceptions', async (t) => {
  const call = 'POST /v1/messages HTTP/1.1\r\nHost: www.other.example\r\nContent-Length: 2\r\n\r\n{}'
  for (const [exceptions, unlistedCalls] of [
    [[], 'record'],
    [[], 'refuse'],
    [['*.other.example'], 'record'],
  ] as const) {
    const rig = await startRig({
      rules: rulesOf('standard', { proxy: { unknownName: 'intercept', exceptions, unlistedCalls } }),
      tls: await identity(internet, 'www.other.example'),
      provider: answering(() => OK),
      providerAddresses: [],
      systemRoots: [internet.certificatePem],
      askForLeaf: (name, publicKeySpki) => issueLeaf(internet, { name, publicKeySpki, now: new Date() }),
    })
    const agent = await rig.agent({ servername: 'www.other.example', ca: internet.certificatePem })
    const read = reading(agent)
    agent.write(get('www.other.example', '/page'))
    await read.until('ok')
    t.equal(rig.recorder.frames.length, 0, 'what is no call is not recorded')
    read.clear()
    agent.write(call)
    if (unlistedCalls === 'refuse') {
      t.match(await read.until('end'), /^HTTP\/1.1 403 .*unlisted_call/s)
      await rig.recorder.until(() => rig.recorder.refusals().length === 1)
      t.match(rig.recorder.refusals(), [{ rule: 'standard/unlisted-call' }])
    } else {
      await read.until('ok')
      if (exceptions.length > 0) t.match(rig.worker.state(), { spliced: 1, exchanges: 0 })
      else {
        t.match((await rig.recorder.ended()).open, {
          provider: 'unlisted',
          style: 'anthropic-messages',
          serverName: 'www.other.example',
          flags: ['unlisted-host'],
          tls: true,
        })
      }
    }
    await rig.stop()
  }
})

t.test('a name that a traffic rule allows reaches its own address and no other', async (t) => {
  const rules = rulesOf('standard', {
    traffic: { default: 'block', rules: [{ name: 'site', action: 'allow', hosts: ['www.other.example'] }] },
  })
  const site = await identity(internet, 'www.other.example')
  const rig = await startRig({
    rules,
    tls: site,
    provider: (socket) => socket.end('real'),
    destination: (port) => ({ address: '203.0.113.66', port }),
    staticHosts: { 'www.other.example': { addresses: ['127.0.0.1'] } },
    providerAddresses: [],
  })
  t.teardown(() => rig.stop())
  const agent = await rig.agent({ servername: 'www.other.example', ca: internet.certificatePem })
  t.equal(await reading(agent).until('end'), 'real')
  await t.rejects(rig.agent({ servername: 'blocked.example', ca: internet.certificatePem }))
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/traffic-default', serverName: 'blocked.example' })
})

t.test('known resolvers are refused where the policy says so', async (t) => {
  const rig = await startRig({
    provider: () => t.fail('nothing may be dialled'),
    rules: rulesOf('standard', { proxy: { resolvers: 'refuse' } }),
    providerAddresses: [],
  })
  t.teardown(() => rig.stop())
  await t.rejects(rig.agent({ servername: 'cloudflare-dns.com', ca: gateway.certificatePem }))
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/resolver', serverName: 'cloudflare-dns.com' })
})

t.test('HTTP/2 without TLS is refused by its own rule towards a provider', async (t) => {
  const rig = await startRig({ tls: false, provider: () => t.fail('nothing may be dialled') })
  t.teardown(() => rig.stop())
  const agent = await rig.plain()
  const read = reading(agent)
  agent.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  await read.until('end')
  await rig.recorder.until(() => rig.recorder.refusals().length === 1)
  t.match(rig.recorder.refusals()[0], { rule: 'standard/h2-prior-knowledge-provider-address' })
  const named = await rig.plain()
  named.write(await h2Start({ ':authority': 'other.example' }))
  await reading(named).until('end')
  await rig.recorder.until(() => rig.recorder.refusals().length === 2)
  t.match(rig.recorder.refusals()[1], {
    rule: 'standard/h2-prior-knowledge-provider-address',
    serverName: 'other.example',
  })
})

t.test(
  'a governed name in HTTP/2 without TLS is refused wherever it goes, also once it waited',
  async (t) => {
    let got: Buffer = Buffer.alloc(0)
    const rig = await startRig({
      tls: false,
      provider: (socket) =>
        socket.on('data', (bytes) => {
          got = Buffer.concat([got, bytes])
        }),
      providerAddresses: [],
    })
    t.teardown(() => rig.stop())
    const start = await h2Start({ ':authority': NAME })
    const once = await rig.plain()
    once.write(start)
    await reading(once).until('end')
    const late = await rig.plain()
    const read = reading(late)
    late.write(start.subarray(0, 24))
    while (got.length === 0) await tick()
    t.same(got, start.subarray(0, 24), 'the server is told that it is HTTP/2, so that it may answer')
    late.write(start.subarray(24))
    await read.until('end')
    await rig.recorder.until(() => rig.recorder.refusals().length === 2)
    for (const refusal of rig.recorder.refusals())
      t.match(refusal, { rule: 'standard/h2-governed-name', serverName: NAME })
    t.equal(got.length, 24)

    const foreign = await rig.plain()
    const whole = await h2Start({ ':authority': 'other.example' })
    foreign.write(whole)
    while (got.length < 24 + whole.length) await tick()
    t.same(got.subarray(24), whole, 'another name passes')
  },
)

t.test('every connection to a server is reported with its port before a byte goes out on it', async (t) => {
  const flows: { local: { port: number }; remote: { port: number } }[] = []
  const seen: number[] = []
  const rig = await startRig({
    tls: false,
    provider: (socket) =>
      socket.on('data', () => {
        seen.push(socket.remotePort ?? 0)
        t.ok(
          flows.some(({ local }) => local.port === socket.remotePort),
          'already reported',
        )
        socket.write(OK)
      }),
    providerAddresses: [],
    dialled: (flow) => void flows.push(flow),
  })
  t.teardown(() => rig.stop())
  for (const request of [get(NAME), get('www.other.example'), '\x01other']) {
    const agent = await rig.plain()
    agent.write(request)
    await once(agent, 'data')
  }
  t.equal(seen.length, 3)
  t.same(new Set(flows.map(({ remote }) => remote.port)), new Set([rig.providerPort]))
})
