import { enterLab } from '../lab/enter.ts'

await enterLab(import.meta.url)

import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { ANTHROPIC, ECHO_PORT, EXAMPLE, GREETING, GREETING_PORT, LINK, OPENAI } from '../lab/addresses.ts'
import {
  anthropicCommand,
  chatCall,
  curlCommand,
  messagesCall,
  openaiCommand,
  urllibCommand,
} from '../lab/client-commands.ts'
import type { CertificateKind, Families } from '../lab/internet/messages.ts'
import { startLab } from '../lab/lab.ts'
import { NODE } from '../lab/places.ts'
import { BUNDLE } from '../lab/trust.ts'
import type { WireConnection, WireExchange } from '../lab/wire-log.ts'

const lab = await startLab({ evm: true })
t.comment(`set up in ${Math.round(lab.setUpMs)} ms`)
t.teardown(() => lab.stop())

/** What the installer's variables do for Node, here for the laboratory's own root. */
const env = { NODE_EXTRA_CA_CERTS: BUNDLE }

const families: readonly (readonly [Families, string])[] = [
  ['4', LINK.host4],
  ['6', LINK.host6],
]

/** The one exchange whose request holds a text, with its connection. */
async function seen(text: string): Promise<WireExchange & { connection: WireConnection }> {
  const found = (await lab.wireLog()).flatMap((connection) =>
    connection.exchanges
      .filter(({ head, body }) => Buffer.concat([head, body]).includes(text))
      .map((exchange) => ({ ...exchange, connection })),
  )
  if (found.length !== 1) throw new Error(`${found.length} exchanges hold ${text}`)
  return found[0]!
}

t.test('stands in less than three seconds', async (t) => {
  t.ok(lab.setUpMs < 3000, `${lab.setUpMs} ms`)
})

for (const [family, from] of families) {
  t.test(`both SDKs reach their providers over IPv${family}, JSON and streams`, async (t) => {
    for (const { name } of [OPENAI, ANTHROPIC]) {
      await lab.ask({ type: 'resolve', name, families: family })
    }
    t.teardown(async () => {
      for (const { name } of [OPENAI, ANTHROPIC]) await lab.ask({ type: 'resolve', name, families: 'both' })
    })
    for (const stream of [false, true]) {
      const calls = [
        { site: OPENAI, argv: (prompt: string) => openaiCommand({ apiKey: 'sk-lab', prompt, stream }) },
        {
          site: OPENAI,
          argv: (prompt: string) => openaiCommand({ apiKey: 'sk-lab', prompt, stream, api: 'responses' }),
        },
        { site: ANTHROPIC, argv: (prompt: string) => anthropicCommand({ apiKey: 'sk-lab', prompt, stream }) },
      ]
      for (const [index, { site, argv }] of calls.entries()) {
        const prompt = `call ${index} over IPv${family}, stream ${stream}`
        const { code, stdout, stderr } = await lab.run('agent1', argv(prompt), { env })
        t.equal(code, 0, stdout + stderr)
        const result = JSON.parse(stdout)
        t.match(result, { ok: true, text: `You said: ${prompt}` })
        t.ok((result.usage.completion_tokens ?? result.usage.output_tokens) > 1, 'usage is reported')
        const exchange = await seen(prompt)
        t.match(exchange.connection, {
          site: site.name,
          port: 443,
          protocol: 'tls',
          sni: site.name,
          remoteAddress: from,
        })
        t.ok(exchange.response.includes(result.requestId), 'the answer carries its request id')
      }
    }
  })
}

t.test('the wire log holds what curl received, byte for byte', async (t) => {
  for (const call of [
    chatCall('sk-lab', 'bytes of a chat'),
    chatCall('sk-lab', 'bytes of a chat stream', true),
    messagesCall('sk-lab', 'bytes of a message'),
    messagesCall('sk-lab', 'bytes of a message stream', true),
  ]) {
    const { code, stdoutBytes, stderr } = await lab.run('agent2', curlCommand(call))
    t.equal(code, 0, stderr)
    const exchange = await seen(JSON.parse(call.body!).messages[0].content.concat('"'))
    t.ok(exchange.complete)
    t.equal(exchange.body.toString(), call.body)
    t.equal(stdoutBytes.toString('latin1'), exchange.response.toString('latin1'))
  }
})

t.test('the same request gets the same body again', async (t) => {
  const call = chatCall('sk-lab', 'twice the same', true)
  const bodies: string[] = []
  for (let round = 0; round < 2; round++) {
    const { stdout } = await lab.run('agent1', curlCommand(call))
    bodies.push(stdout.slice(stdout.indexOf('\r\n\r\n')))
  }
  t.match(bodies[0], /data: \[DONE\]/)
  t.equal(bodies[0], bodies[1])
})

t.test('Python’s urllib trusts the laboratory’s root without any variable', async (t) => {
  const { code, stdout } = await lab.run('agent1', urllibCommand(chatCall('sk-lab', 'from urllib')))
  t.equal(code, 0, stdout)
  const body = JSON.parse(Buffer.from(JSON.parse(stdout).body, 'base64').toString())
  t.equal(body.choices[0].message.content, 'You said: from urllib')
})

t.test('no key and a wrong key are refused as the providers do', async (t) => {
  const openai = await lab.run('agent1', openaiCommand({ apiKey: 'invalid', prompt: 'x' }), { env })
  t.match(JSON.parse(openai.stdout), {
    ok: false,
    error: { name: 'Error', status: 401, code: 'invalid_api_key' },
  })
  const anthropic = await lab.run('agent1', anthropicCommand({ apiKey: 'invalid', prompt: 'x' }), { env })
  t.match(JSON.parse(anthropic.stdout), {
    error: { status: 401, body: { error: { type: 'authentication_error' } } },
  })
  const { body } = chatCall('', 'keyless')
  const none = await lab.run(
    'agent1',
    curlCommand({ url: 'https://api.openai.com/v1/chat/completions', body: body! }),
  )
  t.match(none.stdout, /^HTTP\/1\.1 401 /)
})

t.test('answers go wrong as the request asks', async (t) => {
  const ask = (wish: string, prompt: string, stream: boolean, ...extra: string[]) => {
    const call = chatCall('sk-lab', prompt, stream)
    return lab.run('agent1', curlCommand({ ...call, headers: { ...call.headers, 'x-lab': wish } }, extra))
  }
  const cut = await ask('cut=3', 'cut short', true)
  t.equal(cut.stdout.match(/^data: /gm)?.length, 3)
  t.equal(cut.code, 18, 'curl: transfer closed with outstanding data')
  t.equal((await seen('cut short')).complete, false)

  const half = await ask('cut=1', 'half of it', false)
  t.equal(half.code, 18)
  const head = await ask('close=head', 'only a head', false)
  t.match(head, { code: 18, stdout: /\r\n\r\n$/ })
  t.equal((await ask('close=silent', 'nothing', false)).code, 52, 'curl: empty reply')

  const before = performance.now()
  const slow = await ask('pace=50,delay=100', 'one two three', true)
  t.equal(slow.code, 0)
  t.ok(performance.now() - before > 100 + 6 * 50, 'events come at their pace')

  const big = await ask('size=1000000,framing=chunked', 'big', false)
  t.ok(big.stdoutBytes.length > 1_000_000, `${big.stdoutBytes.length} bytes`)
  t.match(big.stdout, /Transfer-Encoding: chunked/)

  const limited = await ask('status=429', 'too many', false)
  t.match(limited.stdout, /^HTTP\/1\.1 429 [\s\S]*retry-after: 1[\s\S]*rate_limit_exceeded/)

  const packed = await ask('', 'packed', false, '-H', 'Accept-Encoding: gzip')
  t.match(packed.stdout, /Content-Encoding: gzip/)
  t.notMatch(packed.stdout, /You said/)
  t.match((await ask('dealy=1', 'mistaken', false)).stdout, /^HTTP\/1\.1 400 /)
})

t.test('a large request arrives whole, with Expect: 100-continue', async (t) => {
  const prompt = 'long '.repeat(300_000)
  const call = chatCall('sk-lab', prompt)
  const argv = curlCommand({ url: call.url, headers: call.headers! }, ['--data-binary', '@-'])
  const { stdout } = await lab.run('agent1', argv, { input: call.body! })
  t.match(stdout.slice(0, 60), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
  const log = await lab.wireLog()
  const bodies = log.flatMap(({ exchanges }) => exchanges.map(({ body }) => body))
  t.ok(bodies.some((body) => body.equals(Buffer.from(call.body!))))
})

t.test('bad certificates are refused, until the good one is back', async (t) => {
  const call = chatCall('sk-lab', 'never sent')
  const kinds: CertificateKind[] = ['self-signed', 'expired', 'wrong-name', 'unknown-root']
  for (const kind of kinds) {
    await lab.ask({ type: 'certificate', site: OPENAI.name, kind })
    const { code, stderr } = await lab.run('agent1', curlCommand(call))
    t.equal(code, 60, `${kind}: ${stderr}`)
  }
  await lab.ask({ type: 'certificate', site: OPENAI.name, kind: 'good' })
  t.equal((await lab.run('agent1', curlCommand(call))).code, 0)
})

t.test('a site that stops listening is unreachable, and comes back', async (t) => {
  const call = { url: `https://${EXAMPLE.name}/` }
  await lab.ask({ type: 'listening', site: EXAMPLE.name, on: false })
  t.equal((await lab.run('agent1', curlCommand(call))).code, 7, 'curl: could not connect')
  await lab.ask({ type: 'listening', site: EXAMPLE.name, on: true })
  t.match(await lab.run('agent1', curlCommand(call)), { code: 0, stdout: /No provider lives at/ })
})

t.test('unknown names do not exist, at once', async (t) => {
  const before = performance.now()
  const { code } = await lab.run('agent1', curlCommand({ url: 'https://nobody.example.net/' }))
  t.equal(code, 6, 'curl: could not resolve host')
  t.ok(performance.now() - before < 1000)
  const unknown = lab.ask({ type: 'resolve', name: 'nobody.example.net', families: '4' })
  await t.rejects(unknown, { code: 'internet-failed' })
})

t.test('other ports of the providers log whatever reaches them', async (t) => {
  const script = `
    const net = require('node:net'), dgram = require('node:dgram')
    const say = (port, host) => new Promise((done) => {
      const socket = net.connect(port, host, () => socket.write('knock ' + port))
      socket.once('data', (answer) => { console.log(String(answer).trim()); socket.end(); socket.once('close', done) })
    })
    const shout = (type, port, host) => new Promise((done) => {
      const socket = dgram.createSocket(type)
      socket.once('message', () => { socket.close(); done() })
      socket.send('datagram', port, host)
    })
    ;(async () => {
      await say(${ECHO_PORT}, '${OPENAI.address4}')
      await say(${GREETING_PORT}, '${OPENAI.address6}')
      await shout('udp4', 443, '${ANTHROPIC.address4}')
      await shout('udp6', ${ECHO_PORT}, '${ANTHROPIC.address6}')
    })()`
  const { code, stdout, stderr } = await lab.run('agent2', [NODE, '-e', script])
  t.equal(code, 0, stderr)
  t.equal(stdout, `knock ${ECHO_PORT}\n${GREETING.trim()}\n`)
  const others = (await lab.wireLog()).filter(({ protocol }) => protocol === 'tcp' || protocol === 'udp')
  t.match(
    others.map(({ site, port, protocol, remoteAddress, received }) => [
      ...[site, port, protocol, remoteAddress, received.toString()],
    ]),
    [
      [OPENAI.name, ECHO_PORT, 'tcp', LINK.host4, `knock ${ECHO_PORT}`],
      [OPENAI.name, GREETING_PORT, 'tcp', LINK.host6, `knock ${GREETING_PORT}`],
      [ANTHROPIC.name, 443, 'udp', LINK.host4, 'datagram'],
      [ANTHROPIC.name, ECHO_PORT, 'udp', LINK.host6, 'datagram'],
    ],
  )
})

t.test('agents are themselves: own uid, no groups, no capabilities, a login’s variables', async (t) => {
  writeFileSync('/etc/environment', 'MACHINE_WIDE="yes"\n')
  t.teardown(() => writeFileSync('/etc/environment', ''))
  for (const [user, uid] of [
    ['agent1', 4001],
    ['agent2', 4002],
  ] as const) {
    const { stdout } = await lab.run(user, ['/bin/cat', '/proc/self/status', '/proc/self/environ'])
    t.match(stdout, new RegExp(`Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}\\nGid:\\t${uid}\\t`))
    t.match(stdout, /Groups:\t? ?\n/)
    t.match(stdout, /CapPrm:\t0{16}\nCapEff:\t0{16}\n/)
    const names = stdout.slice(stdout.lastIndexOf('\n') + 1).match(/[A-Z_]+(?==)/g)
    t.same(names?.sort(), ['HOME', 'LANG', 'LOGNAME', 'MACHINE_WIDE', 'PATH', 'USER'])
  }
  t.match(await lab.run('agent1', ['/bin/cat', '/run/laboratory/wire.jsonl']), { code: 1, stdout: '' })
  t.throws(() => lab.spawnAs('nobody-here', ['/bin/true']), { code: 'unknown-user' })
})

t.test('the private file system holds nothing of a gateway, and cgroup2', async (t) => {
  t.match(readFileSync('/etc/hosts', 'utf8'), /^127\.0\.0\.1 localhost\n::1 localhost/)
  t.match(readFileSync('/proc/mounts', 'utf8'), /^cgroup2 \/sys\/fs\/cgroup cgroup2 /m)
  const { stdout } = await lab.run('root', ['/bin/ls', '-A', '/usr/local/bin', '/var/log', '/root', '/tmp'])
  t.equal(stdout, '/root:\n\n/tmp:\n\n/usr/local/bin:\n\n/var/log:\n')
})

t.test('an EVM node answers on the internet', async (t) => {
  const call = {
    url: 'http://evm.example.org:8545',
    headers: { 'Content-Type': 'application/json' },
    body: '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}',
  }
  t.match(await lab.run('agent1', curlCommand(call)), { code: 0, stdout: /"result":"0x7a69"/ })
})
