/**
 * The gateway's own doors, and who is not what he seems: numbers 52, 53, 55, 64 and 69 of docs/bypass.md under `standard`, 54 and
 * an exempt account under a policy of the laboratory's own.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { LINK, OPENAI } from '../lab/addresses.ts'
import { startContainer } from '../lab/containers.ts'
import { enterLab } from '../lab/enter.ts'
import { spawnIn } from '../lab/network.ts'
import { PATH } from '../lab/places.ts'
import { collect, type Outcome, tool } from '../lab/process.ts'
import { answered, bytesCall, get, hello, inTurn, printed } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { forwardProxy, localModels } from './bypass/packets.ts'
import { because, exchange, refusal } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
t.teardown(() => world.stop())
const { lab } = world

const POLICIES = '/etc/agent-anchor/policies'
mkdirSync(POLICIES, { recursive: true })

const AGENT = 4001
const TRANSPARENT = 18_443
/** Longer than the sensor waits for the proxy's report, and the log for a record. */
const LEAK_MS = 3500
const { name } = OPENAI
const models = `https://${name}/v1/models`
const all = inTurn(world)
const captured = { result: 'captured', saw: 'proxy', counter: 'redirected' } as const
const refused = { result: 'refused', saw: 'nothing' } as const

/** Connections that were turned to the proxy during the last {@link counted}. */
let turned = 0
async function counted(...calls: string[][]): Promise<Outcome[]> {
  const before = (await world.counters()).get('redirected') ?? 0
  const outcomes = await all('agent1', ...calls)
  turned = ((await world.counters()).get('redirected') ?? 0) - before
  return outcomes
}

/** A proxy of a system account's on loopback, for one call of an agent's through it. */
async function throughLocalProxy(account: string, port: number, ...calls: string[][]): Promise<Outcome[]> {
  const proxy = lab.spawnAs(account, forwardProxy(port), { cwd: '/' })
  const ended = collect(proxy)
  await sleep(400)
  const outcomes = await all('agent1', ...calls)
  proxy.kill()
  await ended
  return outcomes
}

async function withAccount(account: string, uid: number): Promise<Outcome> {
  await tool(['useradd', '--uid', `${uid}`, '--no-create-home', '--home-dir', '/', account])
  try {
    return await lab.run(account, get(models), { cwd: '/' })
  } finally {
    await tool(['userdel', account])
  }
}
const REUSED = 4321

const doors: readonly BypassCase[] = [
  {
    ...refused,
    number: 52,
    name: 'the proxy dialled on loopback, on both families, from a container and from outside',
    open: false,
    attempt: async () => {
      const outcomes = await all(
        'agent1',
        ...['127.0.0.1', '::1', LINK.host4, LINK.host6].map((address) =>
          hello({ address, port: TRANSPARENT, sni: name, seconds: 2 }),
        ),
      )
      const container = await startContainer({ kind: 'bridge' })
      for (const address of [container.gateway4!, container.gateway6!]) {
        outcomes.push(await container.run(hello({ address, port: TRANSPARENT, sni: name, seconds: 2 })))
      }
      await container.stop()
      for (const address of [LINK.host4, LINK.host6]) {
        const argv = bytesCall({ address, port: TRANSPARENT, seconds: 2 })
        outcomes.push(await collect(spawnIn('internet', 'root', argv, { env: { PATH }, stdio: 'pipe' })))
      }
      return outcomes
    },
    client: (t, outcomes) => {
      t.equal(outcomes.length, 8)
      for (const outcome of outcomes) t.match(printed(outcome), [{ connected: false }], outcome.stderr)
    },
    counter: 'direct_dial',
    records: [
      ...['127.0.0.1', '::1', LINK.host4, LINK.host6].map((address) =>
        refusal({ uid: AGENT, rule: /direct/, address, port: TRANSPARENT }),
      ),
      refusal({ uid: null, rule: /direct/, address: LINK.host4, port: TRANSPARENT }),
    ],
    recordWithinMs: 25_000,
  },
  {
    ...captured,
    number: 53,
    traces: 4,
    name: 'a proxy on loopback under a system account: its own calls are captured under its uid',
    attempt: async () => [
      ...(await throughLocalProxy('daemon', 8899, get(models, '-x', 'http://127.0.0.1:8899'))),
      ...(await throughLocalProxy('root', 8898, get(models, '-x', 'http://[::1]:8898'))),
    ],
    client: (t, outcomes) => {
      for (const { stdout, stderr } of outcomes) t.match(stdout, /"object": ?"list"/, stderr)
    },
    records: [
      exchange({ uid: 1, provider: 'openai', status: 200 }),
      exchange({ uid: 0, provider: 'openai', status: 200 }),
    ],
  },
  {
    ...captured,
    number: 55,
    name: "the proxy's own connections to providers, which nothing turns to the proxy again",
    traces: 2,
    attempt: () => counted(get(models, '-4'), get(models, '-6')),
    client: (t, outcomes) => {
      answered(t, outcomes)
      t.equal(turned, 2, 'a connection of an agent is redirected once, the one of the proxy never')
    },
    records: [exchange({ uid: AGENT, provider: 'openai', status: 200 })],
  },
  {
    ...captured,
    number: 64,
    traces: 4,
    name: "a removed account's uid given to another, and the proxy's own uid within a user namespace",
    attempt: async () => [
      await withAccount('agent-before', REUSED),
      await withAccount('agent-after', REUSED),
      await lab.run('agent1', ['/usr/bin/unshare', '--user', '--map-user=4102', '--', ...get(models)]),
    ],
    client: answered,
    records: [
      exchange({ uid: REUSED, provider: 'openai', status: 200 }),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
  },
  {
    ...refused,
    number: 69,
    name: 'a client that knows its root only, and one that knows its key: both end with an error',
    traces: 4,
    attempt: () =>
      all(
        'agent1',
        get(
          models,
          '--capath',
          '/nonexistent',
          '--cacert',
          '/usr/local/share/ca-certificates/laboratory-root.crt',
        ),
        get(models, '--pinnedpubkey', `sha256//${Buffer.alloc(32).toString('base64')}`),
      ),
    client: (t, outcomes) => {
      t.same(
        outcomes.map(({ code }) => code),
        [60, 90],
        'CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_PINNEDPUBKEYNOTMATCH',
      )
    },
    counter: 'redirected',
    records: [
      because(/unknown_ca/, refusal({ uid: AGENT, rule: 'client-refused', serverName: name })),
      because(/pin another/, refusal({ uid: AGENT, rule: 'client-refused', serverName: name })),
    ],
  },
]

const LLM_PORT = 11_434
const ask = (host: string, ...options: string[]): string[] => [
  ...['/usr/bin/curl', '-sSi', '-m', '5', ...options, `http://${host}:${LLM_PORT}/api/chat`],
  ...['--json', '{"model":"llama3","messages":[{"role":"user","content":"hi"}]}'],
]
const server = lab.spawnAs('agent2', localModels(LLM_PORT), { cwd: '/', stdio: 'ignore' })
t.teardown(() => void server.kill())

const local: readonly BypassCase[] = [
  {
    result: 'captured',
    saw: 'nothing',
    counter: 'redirected',
    number: 54,
    name: 'a local server on both loopbacks, by the own address, past the redirect, and from a container',
    open: false,
    attempt: async () => {
      const outcomes = await all('agent1', ...['127.0.0.1', '[::1]', LINK.host4].map((host) => ask(host)))
      const container = await startContainer({ kind: 'bridge' })
      outcomes.push(
        await container.run(ask(container.gateway4!)),
        await container.run(ask(`[${container.gateway6!}]`)),
      )
      await container.stop()
      outcomes.push(...(await all('agent1', ask('127.0.0.1', '--interface', 'lo'))))
      return outcomes
    },
    client: (t, outcomes) => {
      for (const { stdout, stderr } of outcomes.slice(0, 5))
        t.match(stdout, /^HTTP\/1\.1 200[\s\S]*hello from here/, stderr)
    },
    records: [
      ...['127.0.0.1', '::1'].map((address) =>
        exchange({ uid: AGENT, provider: 'ollama', status: 200, address, port: LLM_PORT }),
      ),
      exchange({ uid: AGENT, provider: 'ollama', status: 200, address: LINK.host4, port: LLM_PORT }),
      exchange({ uid: null, provider: 'ollama', status: 200, port: LLM_PORT }),
    ],
  },
]

const SETTING = { name: 'local-models', kind: 'Policy', apiVersion: 'agent-anchor/v1' }
writeFileSync(
  `${POLICIES}/local-models.yaml`,
  JSON.stringify({
    ...SETTING,
    description: 'Calls of the local server are recorded; the account mail is exempt.',
    enforcement: {
      local: [{ port: LLM_PORT, provider: 'ollama' }],
      exempt: { users: ['mail'], groups: [], cgroups: [] },
    },
  }),
)

runSuites(world, [
  { policy: 'standard', cases: doors },
  { policy: 'local-models', cases: local },
])

void t.test('what an exempt account sends goes out, and is nobody’s leak', async (t) => {
  const leaf = world.newestLeaf()
  const outcomes = await throughLocalProxy('mail', 8897, get(models, '-k', '-x', 'http://127.0.0.1:8897'))
  t.match(outcomes[0]?.stdout, /"object": ?"list"/, 'the exemption holds')
  await sleep(LEAK_MS)
  // A socket that was gone when its packet was read is nobody's that is known: then there is one, without a uid.
  const accused = world
    .recordsAfter(leaf)
    .filter((each) => each.kind === 'leak' && each.serverName === name && each.agent.uid !== undefined)
  t.same(accused, [], 'no leak record names the account')
})
