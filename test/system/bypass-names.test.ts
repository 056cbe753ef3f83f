/** What the first bytes say, hide or leave out: numbers 18 to 30 of docs/bypass.md, under `standard`. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  ANTHROPIC,
  AZURE,
  BEDROCK,
  EXAMPLE,
  OPENAI,
  RELAY,
  SQUATTER,
  TENANT,
  UNLISTED,
} from '../lab/addresses.ts'
import { chatCall, curlCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import { ECH_PUBLIC_NAME } from '../lab/internet/https-record.ts'
import { answered, bytesCall, get, hello, httpsCall, inTurn, printed, webSocket } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { exchange, refusal, type Wanted } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
const { lab } = world
t.teardown(() => world.stop())

const AGENT = 4001
const { address4, address6, name } = OPENAI
const all = inTurn(world)

const captured = { result: 'captured', saw: 'proxy', counter: 'redirected', client: answered } as const
const refused = { result: 'refused', saw: 'nothing', counter: 'redirected' } as const

const stream = chatCall('sk-lab', 'one two three four five six seven eight nine ten', true)

const cases: readonly BypassCase[] = [
  {
    ...refused,
    number: 18,
    traces: 4,
    name: 'the name encrypted, another one in the clear, in one piece and in five',
    attempt: () =>
      all(
        'agent1',
        hello({ address: address4, sni: ECH_PUBLIC_NAME, ech: true }),
        hello({ address: address6, sni: ECH_PUBLIC_NAME, ech: true, pieces: 5 }),
      ),
    records: [address4, address6].map((address) =>
      refusal({ uid: AGENT, rule: 'encrypted-name-provider-address', address }),
    ),
  },
  {
    ...refused,
    number: 19,
    traces: 4,
    name: 'no name in the ClientHello, the provider in Host',
    attempt: () =>
      all(
        'agent1',
        httpsCall({ address: address4, host: name }),
        httpsCall({ address: address6, host: name }),
      ),
    records: [address4, address6].map((address) =>
      refusal({ uid: AGENT, rule: 'no-name-provider-address', address }),
    ),
  },
  {
    ...refused,
    number: 20,
    traces: 4,
    name: "the provider's address in the place of its name",
    attempt: () =>
      all(
        'agent1',
        hello({ address: ANTHROPIC.address4, sni: ANTHROPIC.address4 }),
        hello({ address: ANTHROPIC.address6, sni: ANTHROPIC.address6 }),
      ),
    records: [ANTHROPIC.address4, ANTHROPIC.address6].map((address) =>
      refusal({ uid: AGENT, rule: 'no-name-provider-address', address }),
    ),
  },
  {
    ...refused,
    number: 21,
    traces: 14,
    name: "another provider's name in Host; a foreign name in the ClientHello, also the agent's own that resolves to the provider, with the provider's in Host",
    attempt: () =>
      all(
        'agent1',
        httpsCall({ address: address4, sni: ANTHROPIC.name, host: name }),
        httpsCall({ address: address4, sni: EXAMPLE.name, host: name }),
        httpsCall({ address: address6, sni: 'nobody.example.net', host: name }),
        httpsCall({ address: address4, sni: SQUATTER.name, host: name }),
        httpsCall({ address: address6, sni: `${SQUATTER.name}.`, host: name }),
        get(`https://${SQUATTER.name}/v1/models`, '-k', '-4'),
        get(`http://${SQUATTER.name}/v1/files`, '-6'),
      ),
    client: (t, [first]) => t.match(printed(first!), [{ ok: false, status: 421 }], 'the gateway says why'),
    records: [
      refusal({ uid: AGENT, rule: 'name-mismatch', address: address4 }),
      ...[address4, address6].map((address) =>
        refusal({ uid: AGENT, rule: 'unvouched-name', serverName: SQUATTER.name, address, port: 443 }),
      ),
      refusal({ uid: AGENT, rule: 'unvouched-name', address: address6, port: 80 }),
    ],
  },
  {
    ...captured,
    number: 22,
    traces: 4,
    name: "the provider's name towards a host of the agent's own, which gets nothing",
    attempt: () =>
      all(
        'agent1',
        get(`https://${name}/v1/models`, '-k', '--resolve', `${name}:443:${RELAY.address4}`),
        get(`https://${name}/v1/models`, '-k', '--resolve', `${name}:443:[${RELAY.address6}]`),
      ),
    watch: [RELAY],
    records: [RELAY.address4, RELAY.address6].map((address) =>
      exchange({ uid: AGENT, provider: 'openai', status: 200, address, mismatch: true }),
    ),
  },
  {
    ...captured,
    number: 26,
    traces: 4,
    name: 'plain HTTP to port 443, TLS to port 80',
    attempt: () =>
      all('agent1', get(`http://${name}:443/v1/models`), get(`https://${name}:80/v1/models`, '-k')),
    client: (t, outcomes) => {
      for (const { stdout } of outcomes) t.match(stdout, /^HTTP\/1\.1 \d{3} /, 'it was spoken to')
    },
    records: [443, 80].map((port) => exchange({ uid: AGENT, provider: 'openai', port })),
  },
  {
    ...refused,
    number: 27,
    traces: 4,
    name: 'bytes of no protocol',
    attempt: () =>
      all(
        'agent1',
        bytesCall({ address: address4, port: 443, hex: 'deadbeef'.repeat(8) }),
        bytesCall({ address: address6, port: 443, text: 'SSH-2.0-OpenSSH_9.2\r\n' }),
      ),
    client: (t, outcomes) => {
      for (const outcome of outcomes) t.notMatch(printed(outcome), [{ ended: null }], 'cut')
    },
    records: [address4, address6].map((address) =>
      refusal({ uid: AGENT, rule: 'other-protocol-provider-address', address }),
    ),
  },
  {
    ...captured,
    number: 28,
    traces: 2,
    name: 'a message in fragments of three bytes with a ping between them',
    attempt: () =>
      all(
        'agent1',
        webSocket({
          host: name,
          target: '/v1/responses',
          message: JSON.stringify({
            type: 'response.create',
            model: 'gpt-4o-mini',
            input: [{ role: 'user', content: 'in fragments' }],
          }),
          fragment: 3,
        }),
      ),
    client: (t, outcomes) => {
      answered(t, outcomes)
      t.match(outcomes[0]?.stdout, /You said: .*in fragments/, 'the message arrived whole')
    },
    records: [exchange({ uid: AGENT, provider: 'openai', status: 101 })],
  },
  {
    ...refused,
    number: 29,
    traces: 4,
    name: 'HTTP/2 without TLS, and a client that speaks nothing else on TLS',
    attempt: () =>
      all(
        'agent1',
        get(`http://${name}/v1/models`, '--http2-prior-knowledge'),
        hello({ address: address4, sni: name, alpn: ['h2'] }),
      ),
    records: [
      refusal({ uid: AGENT, rule: 'h2-governed-name', serverName: name, port: 80 }),
      refusal({ uid: AGENT, rule: 'governed-name', address: address4, port: 443 }),
    ],
  },
  {
    ...captured,
    number: 30,
    traces: 4,
    name: 'a stream that the provider breaks off, and one that the agent leaves',
    attempt: () =>
      all(
        'agent1',
        curlCommand({ ...stream, headers: { ...stream.headers, 'x-lab': 'cut=3' } }),
        curlCommand({ ...stream, headers: { ...stream.headers, 'x-lab': 'pace=300' } }, ['--max-time', '1']),
      ),
    client: (t, outcomes) => {
      for (const { code, stdout } of outcomes) t.match({ code, stdout }, { code: /18|28/, stdout: /data: / })
    },
    records: [
      exchange({ uid: AGENT, provider: 'openai', outcome: 'upstream-aborted' }),
      exchange({ uid: AGENT, provider: 'openai', outcome: 'client-aborted' }),
    ],
  },
  {
    ...refused,
    number: 25,
    traces: 2,
    name: 'the first byte of a ClientHello, and nothing more',
    attempt: () => all('agent1', bytesCall({ address: address4, port: 443, hex: '16', seconds: patience() })),
    client: (t, [outcome]) => t.notMatch(printed(outcome!), [{ ended: null }], 'cut in the end'),
    records: [
      refusal({ uid: AGENT, rule: /^(no-name|other-protocol)-provider-address$/, address: address4 }),
    ],
  },
]

/** Longer than the proxy waits for a beginning to be ended (30 s), where there is one. */
function patience(): number {
  return world.isEnforcing() ? 35 : 1
}

runSuites(world, [{ policy: 'standard', cases }])

async function recorded(leaf: number, wanted: Wanted): Promise<boolean> {
  const end = Date.now() + 10_000
  while (!world.recordsAfter(leaf).some(wanted) && Date.now() < end) await sleep(50)
  return world.recordsAfter(leaf).some(wanted)
}

void t.test(
  'names that a pattern of the catalogue holds are captured, also on other ports once seen',
  async (t) => {
    for (const [site, provider] of [
      [AZURE, 'azure'],
      [BEDROCK, 'bedrock'],
    ] as const) {
      const leaf = world.newestLeaf()
      const call = await lab.run('agent1', get(`https://${site.name}/`))
      t.match(call.stdout, /^HTTP\/1\.1 404 /, call.stderr)
      t.ok(await recorded(leaf, exchange({ provider, port: 443, uid: AGENT })), site.name)
      const other = world.newestLeaf()
      await lab.run('agent1', get(`https://${site.name}:8443/`, '-k'))
      t.ok(await recorded(other, exchange({ provider, port: 8443, uid: AGENT })), `${site.name}:8443`)
    }
  },
)

void t.test(
  'a provider that changes its addresses stays governed, and its open connections live on',
  async (t) => {
    const leaf = world.newestLeaf()
    const slow = lab.run(
      'agent1',
      curlCommand({ ...stream, headers: { ...stream.headers, 'x-lab': 'pace=150' } }),
    )
    await sleep(300)
    await lab.ask({ type: 'resolve', name, families: 'both', next: true })
    t.teardown(() => lab.ask({ type: 'resolve', name, families: 'both' }))
    const moved = await lab.run('agent1', get(`https://${name}/v1/models`))
    t.match(moved.stdout, /^HTTP\/1\.1 200 /)
    t.ok(
      (await recorded(leaf, exchange({ provider: 'openai', address: OPENAI.next!.address6 }))) ||
        (await recorded(leaf, exchange({ provider: 'openai', address: OPENAI.next!.address4 }))),
      'at its new address',
    )
    const direct = await lab.run('agent1', get(`https://${OPENAI.next!.address4}/v1/models`, '-k'))
    t.not(direct.code, 0, 'which is a known one from then on')
    const old = await lab.run('agent1', get(`https://${address4}/v1/models`, '-k'))
    t.not(old.code, 0, 'as is the old one')
    t.match((await slow).stdout, /\[DONE\]/, 'the stream ran to its end')
  },
)

void t.test('a call of an LLM’s shape to a host that no catalogue has is recorded and flagged', async (t) => {
  const leaf = world.newestLeaf()
  const { headers, body } = chatCall('sk-lab', 'to nobody known')
  const call = await lab.run(
    'agent1',
    curlCommand({ url: `http://${UNLISTED.name}/v1/chat/completions`, headers: headers!, body: body! }),
  )
  t.match(call.stdout, /You said: to nobody known/, call.stderr)
  t.ok(await recorded(leaf, exchange({ provider: 'unlisted', flag: 'unlisted-host', uid: AGENT })))
})

void t.test(
  'an honest site at a provider’s address is untouched, and asked for its certificate once',
  async (t) => {
    const leaf = world.newestLeaf()
    for (const url of [`https://${TENANT.name}/`, `http://${TENANT.name}/`]) {
      for (const family of ['-4', '-6', '-4']) {
        const visit = await lab.run('agent1', get(url, '-v', family))
        t.match(visit.stdout, /^HTTP\/1\.1 \d{3} /, visit.stderr)
        if (url.startsWith('https'))
          t.match(visit.stderr, /issuer: CN=Laboratory/i, 'with its own certificate')
      }
    }
    const request = (host: string) => `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`
    const text = request(TENANT.name) + request(SQUATTER.name)
    await lab.run('agent1', bytesCall({ address: TENANT.address4, port: 80, text }))
    const strayed = { uid: AGENT, rule: 'unvouched-name', serverName: SQUATTER.name, port: 80 }
    t.ok(await recorded(leaf, refusal(strayed)), 'another name on its connection is cut')
    t.same(
      world.recordsAfter(leaf).filter(({ kind }) => kind === 'exchange'),
      [],
      'and not recorded',
    )
  },
)
