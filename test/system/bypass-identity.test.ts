/**
 * Who is who: certificates and keys, names that lie about their addresses, and callers who are gone. Numbers 70 to 73,
 * 76 to 78 and 81 of docs/bypass.md, under `standard`.
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ASKING, EXAMPLE, LINK, METADATA, MUTUAL, OPENAI, RELAY } from '../lab/addresses.ts'
import { chatCall, curlCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import type { CertificateKind } from '../lab/internet/messages.ts'
import { CLIENT_CERTIFICATE } from '../lab/places.ts'
import type { Outcome } from '../lab/process.ts'
import { userNamed } from '../lab/users.ts'
import { answered, get, inTurn, printed } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import {
  callAt,
  installAgain,
  leafOfOurs,
  restartWithOldAuthority,
  shownCertificate,
} from './bypass/certificates.ts'
import { nft, refusedAtOnce } from './bypass/lifecycle.ts'
import { inHosts, localSite, metadataVisits, vanishingCalls, withHosts } from './bypass/names.ts'
import { because, exchange, refusal, type Wanted } from './bypass/records.ts'
import { coreLimits, forgery, pry, targetsFor } from './bypass/secrets.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
const { lab } = world
t.teardown(() => world.stop())

const AGENT = 4001
const { address4, address6, name } = OPENAI
const models = `https://${name}/v1/models`
const all = inTurn(world)
const captured = { result: 'captured', saw: 'proxy', counter: 'redirected' } as const
const refused = { result: 'refused', saw: 'nothing', counter: 'redirected' } as const

/** An exchange whose request has this in its target. */
const asked =
  (target: string, ...further: Wanted[]): Wanted =>
  (record) =>
    record.kind === 'exchange' &&
    record.http.target?.includes(target) === true &&
    further.every((wanted) => wanted(record))

const failed =
  (code: string): Wanted =>
  (record) =>
    record.kind === 'exchange' && record.error?.code === code

// 71

const KINDS: readonly CertificateKind[] = ['expired', 'wrong-name', 'unknown-root', 'self-signed']

/** The provider shows that certificate from now on, and to everybody: whoever is connected is broken off. */
async function show(kind: CertificateKind | 'ours'): Promise<void> {
  if (kind === 'ours') await lab.ask({ type: 'credentials', site: name, ...(await leafOfOurs(world, name)) })
  else await lab.ask({ type: 'certificate', site: name, kind })
  await lab.ask({ type: 'listening', site: name, on: false })
  await lab.ask({ type: 'listening', site: name, on: true })
}

// 72

const ACCOUNTS = ['agent1', 'nobody', 'agent-anchor-proxy', 'agent-anchor-sensor', 'agent-anchor'] as const
let cores: string[] = []
const FORGED = '/home/agent1/forged'
const FORGED_PORT = 8444

/** An agent that serves as the provider with a CA of the very name of ours, and one that is lured to it. */
async function behindForgery(): Promise<Outcome[]> {
  const genuine = readFileSync(world.gateway.paths.caCertificate, 'utf8')
  const made = await lab.run('agent1', ['/bin/sh', '-c', forgery(genuine, name, FORGED)])
  if (made.code !== 0) throw new Error(made.stderr)
  const files = ['-cert', 'leaf.crt', '-key', 'leaf.key', '-cert_chain', 'ca.crt']
  const server = lab.spawnAs(
    'agent1',
    ['openssl', 's_server', '-accept', String(FORGED_PORT), '-www', ...files],
    {
      cwd: FORGED,
    },
  )
  await once(server.stdout!, 'data')
  const at = (address: string, port: number) => [
    `https://${name}:${port}/v1/models?forged`,
    ...['--resolve', `${name}:${port}:${address}`],
  ]
  const outcomes = await all(
    'agent2',
    get(...(at('127.0.0.1', FORGED_PORT) as [string])),
    get(...(at('127.0.0.1', FORGED_PORT) as [string]), '-k'),
    get(...(at(RELAY.address4, 443) as [string])),
  )
  server.kill('SIGKILL')
  await once(server, 'exit')
  return outcomes
}

// 73

const DAY = 86_400
/** Until the CA ends, at first: a machine that takes long to start gets longer. */
const LEFT_MS = 12_000
const LEAST_MS = 3000
let serials: string[] = []
/** Each has its own leaves, and renews one near its end while it still serves it: more calls than twice as many. */
const WORKERS = availableParallelism()
const CALLS_NEAR_THE_END = 4 * WORKERS
let streamed: Outcome | undefined
let renewed = false
/** A call while there is no daemon. */
let between: Outcome | undefined

/** A stream that goes on while the CA, and with it every leaf, runs out. */
async function overTheEnd(): Promise<Outcome[]> {
  let end = 0
  for (let left = LEFT_MS; end - Date.now() < LEAST_MS; left *= 2) {
    end = await restartWithOldAuthority(world, left, async () => {
      between = await lab.run('agent1', get(`${models}?between`))
    })
  }
  const { headers, body, url } = chatCall('sk-lab', 'one two three four five six seven eight nine ten', true)
  const pace = Math.ceil((end - Date.now() + 2000) / 10)
  const stream = lab.run(
    'agent2',
    [
      ...curlCommand({ url, headers: { ...headers, 'x-lab': `pace=${pace}` }, body: body! }, [
        '--max-time',
        '60',
      ]),
    ],
    { timeoutMs: 60_000 },
  )
  serials = []
  for (let turn = 0; turn < CALLS_NEAR_THE_END; turn++) {
    serials.push((await lab.run('agent1', shownCertificate(address4, name))).stdout)
    await sleep(150)
  }
  const before = await lab.run('agent1', get(`${models}?before-the-end`))
  await sleep(Math.max(0, end - Date.now()) + 1500)
  const after = await lab.run('agent1', get(`${models}?after-the-end`))
  streamed = await stream
  renewed = await installAgain(world)
  return [before, after, await lab.run('agent1', get(`${models}?another-ca`))]
}

// 76

const FOREIGN = 'harmless.example.net'

// 77

/** Where no provider can be, and where only the machine itself is. */
const NOWHERE = [METADATA.address4, '127.0.0.1', '::1', LINK.host4, LINK.host6]
/** What a service of the machine was asked. */
const visits: string[] = []
let proxyVisits: unknown[] = []

async function rebound(): Promise<Outcome[]> {
  const site = lab.spawnAs('root', localSite(80), { cwd: '/' })
  const lines = createInterface({ input: site.stdout! })
  await once(lines, 'line')
  lines.on('line', (line) => visits.push(line))
  const before = await world.sight()
  const outcomes: Outcome[] = []
  for (const [index, address] of NOWHERE.entries()) {
    const governed = `rebound${index}.openai.azure.com`
    const foreign = `rebound${index}.example.net`
    for (const each of [governed, foreign])
      await lab.ask({ type: 'addresses', name: each, addresses: [address] })
    // Towards an address of the agent's choice, and for the foreign name towards a provider's.
    outcomes.push(
      ...(await all(
        'agent1',
        get(`http://${governed}/?governed${index}`, '--resolve', `${governed}:80:${EXAMPLE.address4}`),
        get(`http://${foreign}/?foreign${index}`, '--resolve', `${foreign}:80:${address4}`),
        get(`https://${foreign}/?foreign${index}`, '-k', '--resolve', `${foreign}:443:${address6}`),
      )),
    )
  }
  proxyVisits = metadataVisits(before, await world.sight()).proxy
  site.kill()
  await once(site, 'exit')
  return outcomes
}

// 78

const ELSEWHERE = `http://${METADATA.address4}/latest/meta-data/`
let elsewhere: ReturnType<typeof metadataVisits>

/** A machine's own rule about who may ask its metadata service. */
const GUARDED = `add table inet metadata
add chain inet metadata out { type filter hook output priority 0; }
add rule inet metadata out meta skuid ${AGENT} ip daddr ${METADATA.address4} reject`

async function sentElsewhere(): Promise<Outcome[]> {
  const before = await world.sight()
  const away = ['-L', '-H', `x-lab: status=302, location=${ELSEWHERE}, alt-svc=h3`]
  const outcomes = [
    ...(await all('agent1', get(`${models}?elsewhere`, ...away), get(ELSEWHERE))),
    ...(await all('agent2', get(`${models}?elsewhere`, ...away))),
  ]
  await nft(GUARDED)
  outcomes.push(
    ...(await all('agent1', get(`${models}?elsewhere`, ...away), get(ELSEWHERE))),
    ...(await all('agent2', get(ELSEWHERE))),
  )
  await nft('delete table inet metadata')
  elsewhere = metadataVisits(before, await world.sight())
  return outcomes
}

// 81

const vanishing = { address: address4, port: 80, host: name, count: 40 } as const

const cases: readonly BypassCase[] = [
  {
    ...captured,
    number: 70,
    traces: 4,
    name: 'a provider that demands a client certificate ends the call and the record says why; one that only asks for it does without, and the record says so',
    attempt: async () => {
      const shown = ['--cert', CLIENT_CERTIFICATE]
      const outcomes = await all(
        'agent1',
        ...[MUTUAL, ASKING].flatMap((site) =>
          ['-4', '-6'].map((family) =>
            get(`https://${site.name}/openai/v1/models?wants${family}`, family, ...shown),
          ),
        ),
      )
      const met = outcomes.filter(({ stdout }) => /^HTTP\/1\.1 200 /.test(stdout)).length
      if (!world.isEnforcing() && met !== 4) throw new Error(outcomes.map(({ stderr }) => stderr).join())
      return outcomes
    },
    client: (t, [demanded4, demanded6, ...wanted]) => {
      for (const { stdout, stderr } of [demanded4!, demanded6!])
        t.match(stdout, /^HTTP\/1\.1 502 [\s\S]*upstream_wants_certificate/, stderr)
      answered(t, wanted)
    },
    records: ['-4', '-6'].flatMap((family) => [
      asked(
        `?wants${family}`,
        failed('upstream_wants_certificate'),
        exchange({ name: MUTUAL.name, uid: AGENT }),
      ),
      asked(
        `?wants${family}`,
        exchange({ name: ASKING.name, status: 200, flag: 'client-certificate-wanted' }),
      ),
    ]),
  },
  {
    ...refused,
    number: 71,
    traces: 8,
    name: "a provider whose certificate is expired, another's, of an unknown CA, of its own making or of the gateway's own CA gets nothing",
    attempt: async () => {
      const outcomes: Outcome[] = []
      for (const kind of [...KINDS, ...(world.isEnforcing() ? ['ours' as const] : [])]) {
        await show(kind)
        const call = { url: `${models}?${kind}`, body: '{"prompt":"to nobody"}' }
        for (const family of ['-4', '-6'])
          outcomes.push(await lab.run('agent1', curlCommand(call, ['-k', family])))
      }
      await show('good')
      return outcomes
    },
    client: (t, outcomes) => {
      t.equal(outcomes.length, 10)
      for (const { stdout, stderr } of outcomes)
        t.match(stdout, /^HTTP\/1\.1 502 [\s\S]*upstream_untrusted/, stderr)
    },
    records: [...KINDS, 'ours'].map((kind) =>
      asked(
        `?${kind}`,
        exchange({ outcome: 'upstream-untrusted', uid: AGENT }),
        failed('upstream_untrusted'),
      ),
    ),
  },
  {
    ...captured,
    number: 72,
    name: "every file, process and socket pried at by agents and by the gateway's own accounts; a CA of the same name is believed by nobody",
    open: false,
    attempt: async () => {
      const outcomes: Outcome[] = []
      for (const account of ACCOUNTS) {
        const targets = await targetsFor(world, userNamed(account).uid)
        outcomes.push(await lab.run(account, pry(targets), { cwd: '/' }))
      }
      cores = await coreLimits(world)
      return [...outcomes, ...(await behindForgery())]
    },
    client: (t, outcomes) => {
      for (const [index, account] of ACCOUNTS.entries()) {
        const [told] = printed<{ opened: string[]; refused: number }>(outcomes[index]!)
        t.same(told?.opened, [], `${account} gets at nothing`, { stderr: outcomes[index]?.stderr })
        t.ok((told?.refused ?? 0) > 200, `${told?.refused} attempts`)
      }
      const [forged, careless, lured] = outcomes.slice(ACCOUNTS.length)
      t.equal(forged?.code, 60, `an honest client does not believe it: ${forged?.stderr}`)
      t.equal(careless?.code, 0, `the forgery serves who verifies nothing: ${careless?.stderr}`)
      t.same([...new Set(cores)], ['0'], 'nobody leaves a core')
      answered(t, [lured!])
    },
    records: [
      asked('?forged', exchange({ uid: 4002, status: 200, mismatch: true, address: RELAY.address4 })),
    ],
  },
  {
    ...captured,
    number: 81,
    traces: 80,
    name: 'calls whose process is gone when they arrive, ended and reset, between calls of somebody who stays',
    attempt: async () => {
      const gone = lab.run('agent1', vanishingCalls({ ...vanishing, target: '/v1/models?gone' }), {
        cwd: '/',
      })
      const reset = lab.run(
        'agent1',
        vanishingCalls({ ...vanishing, target: '/v1/models?reset', reset: true }),
        { cwd: '/' },
      )
      const stays = all('agent2', ...Array.from({ length: 10 }, () => get(`http://${name}/v1/models?stays`)))
      return [await gone, await reset, ...(await stays)]
    },
    client: (t, [gone, reset, ...stays]) => {
      t.match([printed(gone!), printed(reset!)], [[{ sent: 40 }], [{ sent: 40 }]])
      answered(t, stays)
    },
    records: [asked('?gone', exchange({ uid: null, port: 80 })), asked('?stays', exchange({ uid: 4002 }))],
  },
  {
    ...captured,
    number: 78,
    traces: 4,
    name: 'a provider that sends its client to the metadata service: who follows gets there or is refused as without the gateway, and never as the proxy',
    attempt: sentElsewhere,
    client: (t, outcomes) => {
      const [followed, direct, other, barred, barredDirect, otherDirect] = outcomes
      for (const { stdout, stderr } of [followed!, other!]) {
        t.match(stdout, /^HTTP\/1\.1 302 [\s\S]*HTTP\/1\.1 200 [\s\S]*No provider lives/, stderr)
        t.notMatch(stdout.slice(0, stdout.indexOf('HTTP/1.1 200')), /alt-svc/i)
      }
      answered(t, [direct!, otherDirect!])
      t.same([barred?.code, barredDirect?.code], [7, 7], 'a rule about the agent holds for it')
      t.equal(elsewhere.proxy.length, 0, 'the proxy was not there')
      t.equal(elsewhere.others.length, 4)
    },
    records: [asked('?elsewhere', exchange({ uid: AGENT, status: 302 }))],
  },
  {
    ...refused,
    number: 77,
    open: false,
    name: "governed and foreign names that resolve to the metadata service, to loopback and to the machine's own addresses",
    attempt: rebound,
    client: (t, outcomes) => {
      t.same(proxyVisits, [], 'the metadata service saw nothing of the proxy')
      t.same(visits, [], "nor did the machine's own services")
      for (const { stdout } of outcomes) t.notMatch(stdout, /^HTTP\/1\.1 200 /)
    },
    records: [
      ...NOWHERE.flatMap((_, index) => [
        asked(`?governed${index}`, failed('upstream_unresolved'), exchange({ uid: AGENT })),
        refusal({ uid: AGENT, rule: /^(other|unvouched)-name$/, serverName: `rebound${index}.example.net` }),
      ]),
    ],
  },
  {
    ...captured,
    number: 76,
    traces: 5,
    watch: [RELAY],
    secret: 'sk-lab',
    name: "a provider's name put to an agent's own host, by root and by a user for himself; a foreign name put to a provider's address",
    attempt: async () => {
      const calls = await all(
        'agent1',
        withHosts(`${RELAY.address4} ${name}`, get(`${models}?own-hosts`, '-k')),
        withHosts(`${RELAY.address6} ${name}`, get(`${models}?own-hosts`, '-k')),
        withHosts(`${address4} ${FOREIGN}`, get(`https://${FOREIGN}/v1/models?foreign`, '-k')),
        withHosts(`${address6} ${FOREIGN}`, get(`http://${FOREIGN}/v1/models?foreign`)),
      )
      // Nobody is connected to the provider any more.
      await show('good')
      const lines = [RELAY.address4, RELAY.address6].map((address) => `${address} ${name}`).join('\n')
      const roots = await inHosts(lines, () => all('agent1', get(`${models}?roots-hosts`, '-k')))
      return [...calls, ...roots]
    },
    client: (t, [own4, own6, tls, plain, roots]) => {
      answered(t, [own4!, own6!])
      for (const { stdout } of [tls!, plain!]) t.notMatch(stdout, /^HTTP\/1\.1 200 /)
      t.match(roots?.stdout, /^HTTP\/1\.1 502 [\s\S]*upstream_untrusted/)
    },
    records: [
      ...[RELAY.address4, RELAY.address6].map((address) =>
        asked('?own-hosts', exchange({ uid: AGENT, status: 200, address, mismatch: true })),
      ),
      ...[address4, address6].map((address) =>
        refusal({ uid: AGENT, rule: /^(other|unvouched)-name$/, serverName: FOREIGN, address }),
      ),
      asked('?roots-hosts', exchange({ uid: AGENT, outcome: 'upstream-untrusted' })),
    ],
  },
  {
    ...captured,
    number: 73,
    counter: 'refused_tcp',
    traces: 3,
    name: 'clients with clocks of their own; a CA that runs out under a stream and between calls, and the one that an install puts in its place',
    attempt: async () => [
      ...(await all(
        'agent1',
        callAt(40 * DAY, address4, name, '/v1/models?in-forty-days'),
        callAt(-7200, address6, name, '/v1/models?two-hours-ago'),
        callAt(1200, address4, name, '/v1/models?in-twenty-minutes'),
      )),
      ...(world.isEnforcing() ? await overTheEnd() : []),
    ],
    client: (t, [late, early, near, before, after, renewal]) => {
      t.match(late, { stdout: '', stderr: /certificate has expired/ })
      t.match(early, { stdout: '', stderr: /certificate is not yet valid/ })
      answered(t, [near!, before!, renewal!])
      t.ok(new Set(serials).size > WORKERS, 'a leaf near its end was renewed', { serials })
      t.ok(refusedAtOnce(between!), 'refused while no gateway runs')
      t.match(after, { code: 35, stdout: '' })
      t.match(streamed?.stdout, /\[DONE\]/, 'the stream outlived them')
      t.ok(renewed, 'an install makes a new CA')
    },
    records: [
      because(
        /handshake.*expired/,
        refusal({ uid: AGENT, rule: 'governed-name', serverName: name, address: address4 }),
      ),
      because(
        /handshake.*bad_certificate/,
        refusal({ uid: AGENT, rule: 'client-refused', address: address6 }),
      ),
      ...['in-twenty-minutes', 'before-the-end', 'another-ca'].map((each) =>
        asked(each, exchange({ status: 200 })),
      ),
      because(/valid from/, refusal({ uid: AGENT, rule: 'governed-name', serverName: name })),
    ],
  },
]

runSuites(world, [{ policy: 'standard', cases }])

void t.test('who was gone is told as nobody or as himself, and never as somebody else', async (t) => {
  const records = world
    .recordsAfter(-1)
    .filter((each) => /\?(gone|reset)/.test(('http' in each && each.http.target) || ''))
  t.ok(records.length >= 40, `${records.length} records`)
  for (const record of records) {
    if (record.kind !== 'exchange') continue
    t.ok([undefined, AGENT].includes(record.agent.uid), 'uid')
    for (const { name } of record.agent.processes ?? []) t.match(name, /^python3/)
  }
})
