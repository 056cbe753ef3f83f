/**
 * The gateway's own doors, its dying and its being tampered with: numbers 52 to 69 of docs/bypass.md under `standard`
 * (but 55), 54 and an exempt account under policies of the laboratory's own.
 */
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ANTHROPIC, EXAMPLE, LINK, OPENAI } from '../lab/addresses.ts'
import { startContainer } from '../lab/containers.ts'
import { enterLab } from '../lab/enter.ts'
import { FOREIGN_RULESETS, reload, restart } from '../lab/foreign-tables.ts'
import { spawnIn } from '../lab/network.ts'
import { PATH, REPOSITORY } from '../lab/places.ts'
import { collect, type Outcome, tool } from '../lab/process.ts'
import { childrenOf } from '../lab/processes.ts'
import {
  answered,
  bytesCall,
  get,
  hello,
  httpsCall,
  inTurn,
  printed,
  quic,
} from '../system/bypass/attempts.ts'
import type { BypassCase } from '../system/bypass/case.ts'
import {
  answeredOrRefused,
  asRoot,
  audit,
  call,
  gap,
  meanwhile,
  nft,
  refusedAtOnce,
  until,
  visit,
} from '../system/bypass/lifecycle.ts'
import { forwardProxy, heldConnections, localModels } from '../system/bypass/packets.ts'
import { exchange, refusal } from '../system/bypass/records.ts'
import { runSuites } from '../system/bypass/suite.ts'
import { openWorld } from '../system/bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
const { lab } = world
t.teardown(() => world.stop())

const POLICIES = '/etc/agent-anchor/policies'
const RECORDER = '/var/lib/agent-anchor/recorder'
mkdirSync(POLICIES, { recursive: true })
// A file system of its own for the recorder, small enough to be filled.
mkdirSync(RECORDER, { recursive: true })
await tool(['mount', '-t', 'tmpfs', '-o', 'size=96m', 'small', RECORDER])

const AGENT = 4001
const FENCES = ['inet aa_fence', 'netdev aa_fence']
const TRANSPARENT = 18_443
const { name, address4, address6 } = OPENAI
const models = `https://${name}/v1/models`
const all = inTurn(world)
const captured = { result: 'captured', saw: 'proxy', counter: 'redirected' } as const
const refused = { result: 'refused', saw: 'nothing' } as const
/** The fence and whatever is redirected stand. */
const stands = async () => {
  const state = await world.gateway.state()
  return state?.enforcement.fence === true && state.enforcement.redirect
}
/** How soon a change of our tables must be undone. */
const RESTORED_MS = 1000
/** The redirect's lease, and what its end takes to be noticed. */
const LEASE_MS = 11_000
const pidOf = async () => (await world.gateway.state())!.pid

/** All that the fence's tables say but their counts, in an order of its own: what is made anew is listed in another. */
async function fenceLines(): Promise<string> {
  const listings = await Promise.all(
    FENCES.map((table) => asRoot(['nft', '--stateless', 'list', 'table', ...table.split(' ')])),
  )
  const parts = listings.flatMap(({ stdout }) => stdout.split(/[\n,{}]/))
  return parts
    .map((part) => part.trim())
    .sort()
    .join('\n')
}
/** What the fence is while nobody touches it. */
let untouched = ''
const fenceStands = async (): Promise<boolean> => (await fenceLines()) === untouched
/** Takes the standing fence for what must stand. */
const remember = async (): Promise<void> => {
  untouched = await fenceLines()
  restorations = []
}
/** Milliseconds that each restoration took. */
let restorations: number[] = []

async function mustChange(script: string): Promise<void> {
  const { code, stderr } = await nft(script)
  if (code !== 0) throw new Error(`${script}: ${stderr}`)
}

/** Somebody's change, calls right after it, and the fence again. */
async function tampered(script: string): Promise<Outcome[]> {
  await mustChange(script)
  const standing = until(fenceStands, 5000)
  const outcomes = [
    ...(await all('agent1', quic(name, [{ address: address4, port: 443, version: 1 }]))),
    await call(world, '-4', '--max-time', '4'),
  ]
  restorations.push(await standing)
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
      (record) =>
        refusal({ uid: AGENT, rule: 'governed-name', serverName: name })(record) && 'reason' in record,
    ],
  },
]

const dying: readonly BypassCase[] = [
  {
    ...captured,
    number: 56,
    name: 'calls before, while and after the daemon is dead; other sites stay reachable',
    open: false,
    attempt: async () => {
      const outcomes = await meanwhile(world, async () => {
        await sleep(300)
        await world.gateway.kill()
        await sleep(1000)
      })
      outcomes.push(...(await Promise.all([call(world, '-4'), call(world, '-6'), visit(world)])))
      outcomes.push(...(await all('agent1', quic(name, [{ address: address6, port: 443, version: 1 }]))))
      outcomes.push(...(await meanwhile(world, () => world.gateway.start())))
      outcomes.push(await call(world))
      return outcomes
    },
    client: (t, outcomes) => {
      answeredOrRefused(t, outcomes)
      t.equal(outcomes.at(-1)?.code, 0, 'captured again')
      t.ok(outcomes.some(refusedAtOnce), 'refused meanwhile')
    },
    counter: 'refused_tcp',
    records: [gap('not-running'), exchange({ uid: AGENT, provider: 'openai', status: 200 })],
  },
  {
    ...captured,
    number: 57,
    name: 'calls to a frozen daemon, until its lease is over and after; then to frozen workers',
    open: false,
    attempt: async () => {
      const pid = await pidOf()
      process.kill(pid, 'SIGSTOP')
      const outcomes = await meanwhile(world, () => sleep(LEASE_MS))
      outcomes.push(...(await Promise.all([call(world, '-4'), call(world, '-6'), visit(world)])))
      process.kill(pid, 'SIGCONT')
      await until(stands, 15_000)
      outcomes.push(await call(world))
      const { children } = (await world.gateway.state())!
      for (const child of children) {
        if (child.name.startsWith('proxy') && child.pid !== undefined) process.kill(child.pid, 'SIGSTOP')
      }
      // Whoever is with a frozen worker waits; they are ended and replaced.
      await until(async () => (await call(world, '--max-time', '1')).code === 0, 25_000)
      await until(stands, 5000)
      outcomes.push(await call(world))
      return outcomes
    },
    client: (t, outcomes) => {
      const [frozen4, frozen6, foreign, after, again] = outcomes.slice(-5)
      t.ok(refusedAtOnce(frozen4!) && refusedAtOnce(frozen6!), 'providers are refused at once', {
        frozen4,
        frozen6,
      })
      t.equal(foreign?.code, 0, 'the rest flows')
      t.equal(after?.code, 0, 'captured again')
      t.equal(again?.code, 0, 'and with new workers')
    },
    counter: 'refused_tcp',
    records: [gap('redirect-lost'), exchange({ uid: AGENT, provider: 'openai', status: 200 })],
  },
  {
    ...captured,
    number: 58,
    name: 'every nft child of the daemon killed, three times, under calls',
    open: false,
    attempt: async () => {
      const pid = await pidOf()
      const outcomes = await meanwhile(world, async () => {
        for (let turn = 0; turn < 3; turn++) {
          const helpers = childrenOf(pid).filter(({ name }) => name === 'nft')
          if (helpers.length < 3) throw new Error(`${helpers.length} helpers`)
          for (const helper of helpers) process.kill(helper.pid, 'SIGKILL')
          await sleep(100)
          await until(stands, 10_000)
          await until(() => childrenOf(pid).filter(({ name }) => name === 'nft').length >= 3, 10_000)
        }
      })
      outcomes.push(...(await all('agent1', datagram)), await call(world))
      return outcomes
    },
    client: (t, outcomes) => {
      answeredOrRefused(t, outcomes.slice(0, -2))
      t.equal(outcomes.at(-1)?.code, 0, 'captured again')
    },
    counter: 'refused_quic',
    records: [
      gap('redirect-lost'),
      gap('ruleset-unwatched'),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
    recordWithinMs: 20_000,
  },
]

const ACCEPTS = 'accept comment "intruder"'
const tampering: readonly BypassCase[] = [
  {
    ...captured,
    number: 59,
    name: 'nft flush ruleset twenty times under calls, each undone within a second',
    open: false,
    attempt: async () => {
      await remember()
      const outcomes = await meanwhile(world, async () => {
        for (let turn = 0; turn < 20; turn++) {
          await nft('flush ruleset')
          await sleep(75)
        }
      })
      outcomes.push(...(await tampered('flush ruleset')))
      return outcomes
    },
    client: (t, outcomes) => {
      t.same(
        outcomes.slice(0, -2).filter(({ code }) => code !== 0),
        [],
        'each call was captured all the while',
      )
      for (const ms of restorations)
        t.ok(ms < RESTORED_MS, `the fence stood again after ${Math.round(ms)} ms`)
    },
    records: [
      audit('ruleset-changed', { by: 'nft' }),
      gap('ruleset-changed'),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
    recordWithinMs: 20_000,
  },
  {
    ...captured,
    number: 60,
    name: 'each table deleted, each chain flushed, elements taken from and put into the sets',
    open: false,
    attempt: async () => {
      await remember()
      const outcomes: Outcome[] = []
      for (const table of ['inet aa_redirect', 'netdev aa_redirect']) {
        const { code } = await nft(`delete table ${table}`)
        if (code === 0) throw new Error(`${table} could be deleted`)
      }
      const changes = [
        ...FENCES.map((table) => `delete table ${table}`),
        ...['output', 'forward', 'input', 'provider', 'refuse'].map(
          (chain) => `flush chain inet aa_fence ${chain}`,
        ),
        'flush chain netdev aa_fence judge',
        ...FENCES.flatMap((table) => [
          `flush set ${table} llm4`,
          `delete element ${table} llm4 { ${address4} }`,
        ]),
        `add element inet aa_fence proxy_uids { ${AGENT} }\nadd element inet aa_fence exempt_uids { ${AGENT} }`,
      ]
      for (const change of changes) outcomes.push(...(await tampered(change)))
      return outcomes
    },
    client: (t, outcomes) => {
      for (const [index, outcome] of outcomes.entries()) {
        if (index % 2 === 1) t.equal(outcome.code, 0, 'captured', outcome)
        else t.notMatch(outcome.stdout, /"answered":true/)
      }
      for (const ms of restorations)
        t.ok(ms < RESTORED_MS, `the fence stood again after ${Math.round(ms)} ms`)
    },
    records: [
      audit('ruleset-changed', { table: 'inet aa_fence' }),
      audit('ruleset-changed', { table: 'netdev aa_fence' }),
      gap('ruleset-changed'),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
    recordWithinMs: 20_000,
  },
  {
    ...captured,
    number: 61,
    name: 'accepts at the head of our chains, a chain before them that accepts all, one that tracks nothing',
    open: false,
    attempt: async () => {
      await remember()
      const outcomes: Outcome[] = []
      for (const chain of ['output', 'forward', 'input', 'provider']) {
        outcomes.push(...(await tampered(`insert rule inet aa_fence ${chain} ${ACCEPTS}`)))
      }
      outcomes.push(...(await tampered(`insert rule netdev aa_fence judge ${ACCEPTS}`)))
      await mustChange(
        `add table inet intruder
         add chain inet intruder first { type filter hook output priority -400; policy accept; }
         add rule inet intruder first accept
         add chain inet intruder last { type filter hook postrouting priority 400; policy accept; }
         add rule inet intruder last accept`,
      )
      outcomes.push(...(await all('agent1', quic(name, [{ address: address4, port: 443, version: 1 }]))))
      outcomes.push(await call(world))
      await mustChange(
        `delete table inet intruder
         add table inet untracked
         add chain inet untracked raw { type filter hook output priority -300; policy accept; }
         add rule inet untracked raw ip daddr ${address4} notrack
         add rule inet untracked raw ip6 daddr ${address6} notrack`,
      )
      outcomes.push(await call(world, '-4'), await call(world, '-6'))
      await mustChange('delete table inet untracked')
      outcomes.push(await call(world))
      return outcomes
    },
    client: (t, outcomes) => {
      const [untracked4, untracked6, after] = outcomes.slice(-3)
      t.ok(refusedAtOnce(untracked4!) && refusedAtOnce(untracked6!), 'what isn’t tracked is refused', {
        untracked4,
        untracked6,
      })
      t.equal(after?.code, 0)
      for (const ms of restorations)
        t.ok(ms < RESTORED_MS, `the fence stood again after ${Math.round(ms)} ms`)
    },
    records: [
      audit('ruleset-changed', { table: 'inet aa_fence' }),
      audit('foreign-ruleset-changed', { table: /intruder|untracked/ }),
      gap('ruleset-changed'),
      refusal({ uid: AGENT, rule: /tcp|unredirected/, address: address4 }),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
    recordWithinMs: 20_000,
  },
  {
    ...captured,
    number: 63,
    name: "Docker's, firewalld's and ufw's rules loaded, reloaded and restarted with a flush, under calls",
    open: false,
    attempt: async () => {
      await remember()
      const outcomes = await meanwhile(world, async () => {
        for (const ruleset of Object.values(FOREIGN_RULESETS)) {
          for (const script of [ruleset, reload(ruleset), restart(ruleset)]) {
            await mustChange(script)
            restorations.push(await until(fenceStands, 5000))
          }
        }
      })
      await nft('flush ruleset')
      restorations.push(await until(fenceStands, 5000))
      outcomes.push(await call(world))
      return outcomes
    },
    client: (t, outcomes) => {
      t.same(
        outcomes.filter(({ code }) => code !== 0),
        [],
        'each call was captured all the while',
      )
      for (const ms of restorations)
        t.ok(ms < RESTORED_MS, `the fence stood again after ${Math.round(ms)} ms`)
    },
    records: [
      audit('foreign-ruleset-changed', { table: /firewalld|filter|nat/ }),
      gap('ruleset-changed'),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
    recordWithinMs: 20_000,
  },
]

/** What the fence counts, whose counts outlive the tables of the daemon. */
const datagram = quic(name, [{ address: address4, port: 443, version: 1 }])
/** Descriptors that a process of the gateway may have. */
const TIGHT = 128
const COMMAND = `${REPOSITORY}/cli/agent-anchor`
const exhaustion: readonly BypassCase[] = [
  {
    ...refused,
    number: 65,
    name: 'the fence as the boot loads it, before the network and before the daemon',
    open: false,
    attempt: async () => {
      await world.gateway.stop()
      await asRoot(['ip', 'link', 'set', 'eth0', 'down'])
      for (const table of FENCES) await nft(`delete table ${table}`)
      const { code, stderr } = await asRoot(['nft', '-f', world.gateway.paths.fenceScript])
      if (code !== 0) throw new Error(stderr)
      const network = [
        ['link', 'set', 'eth0', 'up'],
        ['addr', 'replace', `${LINK.host6}/${LINK.prefix6}`, 'dev', 'eth0', 'nodad'],
        ['route', 'replace', 'default', 'via', LINK.internet4],
        ['route', 'replace', 'default', 'via', LINK.internet6],
      ]
      for (const argv of network) await asRoot(['ip', ...argv])
      const outcomes = [
        await call(world, '-4'),
        await call(world, '-6'),
        ...(await all(
          'agent1',
          quic(name, [
            { address: address4, port: 443, version: 1 },
            { address: address6, port: 8443, version: 2 },
          ]),
          httpsCall({ address: ANTHROPIC.address4, port: 8443, sni: name, host: name }),
        )),
        await visit(world, '-4'),
        await visit(world, '-6'),
      ]
      const refusedBy = (await world.counters()).get('refused_tcp') ?? 0
      if (refusedBy < 3) throw new Error(`${refusedBy} packets were refused`)
      await world.gateway.start()
      return outcomes
    },
    client: (t, outcomes) => {
      const [four, six, , , foreign4, foreign6] = outcomes
      t.ok(refusedAtOnce(four!) && refusedAtOnce(six!), 'refused at once', { four, six })
      t.match(
        [foreign4, foreign6].map((each) => each?.code),
        [0, 0],
        'other sites are reached',
      )
    },
    counter: ['refused_tcp'],
    records: [gap('not-running')],
  },
  {
    ...captured,
    number: 67,
    name: 'every descriptor of the workers used up by an agent, and given back',
    open: false,
    attempt: async () => {
      // Too little for many, but enough to start: what the supervisor has, its children have.
      await world.gateway.stop()
      const tight = lab.spawnAs(
        'root',
        ['/usr/bin/prlimit', `--nofile=${TIGHT}:${TIGHT}`, COMMAND, 'daemon'],
        {
          cwd: '/',
          stdio: 'ignore',
        },
      )
      await until(stands, 20_000)
      const holders = [address4, EXAMPLE.address4].map((address) =>
        lab.spawnAs('agent2', heldConnections({ address, port: 443, count: 150 })),
      )
      for (const holder of holders) await once(createInterface({ input: holder.stdout! }), 'line')
      const outcomes = await all('agent1', datagram)
      for (const option of ['-4', '-6', '-4', '-6'])
        outcomes.push(await call(world, option, '--max-time', '3'))
      for (const holder of holders) {
        holder.stdin!.end()
        await once(holder, 'exit')
      }
      await until(async () => (await call(world, '--max-time', '2')).code === 0, 20_000)
      outcomes.push(await call(world))
      tight.kill('SIGTERM')
      await once(tight, 'exit')
      await world.gateway.start()
      return outcomes
    },
    client: (t, outcomes) => {
      t.comment(`meanwhile calls ended with ${outcomes.slice(1, -1).map(({ code }) => code)} (curl)`)
      t.equal(outcomes.at(-1)?.code, 0, 'captured again')
    },
    counter: 'refused_quic',
    records: [exchange({ uid: AGENT, provider: 'openai', status: 200 })],
    recordWithinMs: 20_000,
  },
  {
    ...captured,
    number: 68,
    name: 'a full disk: calls are refused and say why, and captured once there is room',
    open: false,
    attempt: async () => {
      const filler = `${RECORDER}/filler`
      // Large pieces first, then what is left.
      await asRoot(['dd', 'if=/dev/zero', `of=${filler}`, 'bs=64k'])
      await asRoot(['dd', 'if=/dev/zero', `of=${filler}`, 'bs=512', 'oflag=append', 'conv=notrunc'])
      // Pages that the recorder has already may take some more.
      let full = await call(world)
      await until(async () => {
        full = await call(world)
        return /^HTTP\/1\.1 503/.test(full.stdout)
      }, 20_000)
      const outcomes = [full, await visit(world)]
      rmSync(filler)
      await until(async () => /^HTTP\/1\.1 200/.test((await call(world)).stdout), 20_000)
      outcomes.push(await call(world))
      return outcomes
    },
    client: (t, [full, foreign, after]) => {
      t.match(full?.stdout, /HTTP\/1\.1 503 [\s\S]*recorder_unavailable/)
      t.equal(foreign?.code, 0, 'other sites are reached')
      t.match(after?.stdout, /^HTTP\/1\.1 200/)
    },
    records: [
      (record) => record.kind === 'gap' && /could not be recorded/.test(record.cause),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
    recordWithinMs: 20_000,
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
      exchange({ uid: AGENT, status: 200, address: LINK.host4, port: LLM_PORT }),
      exchange({ uid: null, status: 200, port: LLM_PORT }),
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
  { policy: 'standard', cases: [...doors, ...tampering, ...exhaustion, ...dying] },
  { policy: 'local-models', cases: local },
])

void t.test('what an exempt account sends goes out, and is told as a leak', async (t) => {
  const leaf = world.newestLeaf()
  const outcomes = await throughLocalProxy('mail', 8897, get(models, '-k', '-x', 'http://127.0.0.1:8897'))
  t.match(outcomes[0]?.stdout, /"object": ?"list"/, 'the exemption holds')
  const told = () =>
    world
      .recordsAfter(leaf)
      .some((each) => each.kind === 'leak' && each.serverName === name && each.agent.uid === 8)
  await until(told, 15_000)
  t.ok(told(), 'a leak record names the account', { records: world.recordsAfter(leaf) })
})
