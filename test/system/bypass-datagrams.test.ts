/** QUIC and what else isn't TCP: numbers 13 to 16 and 39 of docs/bypass.md, under `standard`. */
import t, { type Test } from 'tap'
import { ANTHROPIC, OPENAI } from '../lab/addresses.ts'
import { browse } from '../lab/browser.ts'
import { enterLab } from '../lab/enter.ts'
import type { Outcome } from '../lab/process.ts'
import { answered, datagrams, get, inTurn, printed, quic } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { exchange, refusal } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
const { lab } = world
t.teardown(() => world.stop())

const AGENT = 4001
/** A refusal that a client takes for "no HTTP/3 here" comes before its first retransmission. */
const AT_ONCE_MS = 100
const all = inTurn(world)

/** Every packet of an attempt was refused to its sender at once. */
function refusedAtOnce(t: Test, outcomes: Outcome[]): void {
  for (const outcome of outcomes) {
    for (const { error, ms } of printed<{ error: string | null; ms: number }>(outcome)) {
      t.match(error, /^(EPERM|ECONNREFUSED)$/, 'refused to its sender')
      t.ok(ms < AT_ONCE_MS, `in ${ms} ms`)
    }
  }
}

const refused = { result: 'refused', saw: 'nothing' } as const

const cases: readonly BypassCase[] = [
  {
    ...refused,
    number: 13,
    traces: 4,
    name: 'a QUIC initial packet to UDP 443, and any other datagram',
    attempt: () =>
      all(
        'agent1',
        quic(OPENAI.name, [{ address: OPENAI.address4, port: 443, version: 1 }]),
        datagrams([{ kind: 'udp', address: ANTHROPIC.address4, port: 443, text: 'no QUIC' }]),
      ),
    client: (t, [first, second]) => {
      refusedAtOnce(t, [first!])
      t.match(printed(second!), [{ sent: false }], 'refused to its sender')
    },
    counter: 'refused_quic',
    records: [
      refusal({ uid: AGENT, rule: 'fence-quic', address: OPENAI.address4, port: 443 }),
      refusal({ uid: AGENT, rule: 'fence-quic', address: ANTHROPIC.address4, port: 443 }),
    ],
  },
  {
    ...refused,
    number: 14,
    traces: 10,
    name: 'initial packets of both versions to ports 8443, 9999 and 5000',
    attempt: () =>
      all(
        'agent1',
        quic(
          OPENAI.name,
          ([1, 2] as const).flatMap((version) =>
            [8443, 9999, 5000].map((port) => ({ address: OPENAI.address4, port, version })),
          ),
        ),
      ),
    client: refusedAtOnce,
    counter: ['refused_udp', 'refused_quic'],
    records: [8443, 9999, 5000].map((port) =>
      refusal({ uid: AGENT, rule: /^fence-(udp|quic)$/, address: OPENAI.address4, port }),
    ),
  },
  {
    ...refused,
    number: 15,
    traces: 5,
    name: 'initial packets of both versions over IPv6',
    attempt: () =>
      all(
        'agent1',
        quic(ANTHROPIC.name, [
          { address: ANTHROPIC.address6, port: 443, version: 1 },
          { address: ANTHROPIC.address6, port: 443, version: 2 },
          { address: ANTHROPIC.address6, port: 8443, version: 1 },
        ]),
      ),
    client: refusedAtOnce,
    counter: 'refused_quic',
    records: [443, 8443].map((port) =>
      refusal({ uid: AGENT, rule: /^fence-(udp|quic)$/, address: ANTHROPIC.address6, port }),
    ),
  },
  {
    number: 16,
    traces: 2,
    name: 'a provider that offers HTTP/3 in Alt-Svc',
    result: 'captured',
    attempt: () =>
      all(
        'agent1',
        get(`https://${OPENAI.name}/v1/models`, '-H', 'x-lab: alt-svc=h3', '--alt-svc', '/dev/null'),
      ),
    client: (t, outcomes) => {
      answered(t, outcomes)
      t.notMatch(outcomes[0]?.stdout, /alt-svc/i, 'and it did not come through')
    },
    saw: 'proxy',
    counter: 'redirected',
    records: [exchange({ uid: AGENT, provider: 'openai', status: 200 })],
  },
  {
    ...refused,
    number: 39,
    traces: 5,
    name: 'UDP-Lite by anybody, SCTP and GRE by root',
    attempt: async () => [
      ...(await all(
        'agent1',
        datagrams([
          { kind: 'udplite', address: ANTHROPIC.address4, port: 443 },
          { kind: 'udplite', address: ANTHROPIC.address6, port: 443 },
        ]),
      )),
      ...(await all(
        'root',
        datagrams([
          { kind: 'sctp', address: ANTHROPIC.address4, port: 443 },
          { kind: 'gre', address: ANTHROPIC.address4 },
          { kind: 'gre', address: ANTHROPIC.address6 },
        ]),
      )),
    ],
    client: (t, outcomes) => {
      for (const outcome of outcomes) {
        for (const { sent } of printed<{ sent: boolean }>(outcome))
          t.equal(sent, false, 'refused to its sender')
      }
    },
    counter: 'refused_other',
    records: [
      refusal({ uid: AGENT, rule: 'fence-other', address: ANTHROPIC.address4 }),
      refusal({ uid: AGENT, rule: 'fence-other', address: ANTHROPIC.address6 }),
      refusal({ uid: 0, rule: 'fence-other', address: ANTHROPIC.address4 }),
    ],
  },
]

runSuites(world, [{ policy: 'standard', cases }])

void t.test('Chromium, told of HTTP/3 by DNS, falls back at once and is captured', async (t) => {
  await lab.ask({ type: 'https-record', name: OPENAI.name, record: 'h3' })
  t.teardown(() => lab.ask({ type: 'https-record', name: OPENAI.name, record: 'none' }))
  const before = await world.counters()
  const leaf = world.newestLeaf()
  const trusted = ['/usr/local/share/ca-certificates/laboratory-root.crt', world.gateway.paths.caCertificate]
  const url = `https://${OPENAI.name}/v1/models`
  const page = await browse(lab, 'agent2', url, trusted, ['--enable-quic'])
  t.match(page.document, /You didn't provide an API key/, 'the page is there', page)
  t.comment(`loaded in ${page.milliseconds} ms`)
  const after = await world.counters()
  t.ok((after.get('refused_quic') ?? 0) > (before.get('refused_quic') ?? 0), 'its QUIC was refused')
  const wanted = exchange({ uid: 4002, provider: 'openai', status: 401 })
  const end = Date.now() + 10_000
  while (!world.recordsAfter(leaf).some(wanted) && Date.now() < end) {
    await new Promise((done) => setTimeout(done, 50))
  }
  t.ok(world.recordsAfter(leaf).some(wanted), 'and the call is recorded')
})
