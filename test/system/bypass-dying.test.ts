import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ANTHROPIC, LINK, OPENAI } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { childrenOf } from '../lab/processes.ts'
import { httpsCall, inTurn, quic } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { FENCES } from './bypass/fence.ts'
import {
  answeredOrRefused,
  asRoot,
  call,
  gap,
  meanwhile,
  nft,
  refusedAtOnce,
  stands,
  until,
  visit,
} from './bypass/lifecycle.ts'
import { exchange } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
t.teardown(() => world.stop())

const AGENT = 4001
const { name, address4, address6 } = OPENAI
const all = inTurn(world)
const captured = { result: 'captured', saw: 'proxy', counter: 'redirected' } as const
const refused = { result: 'refused', saw: 'nothing' } as const
/** The redirect's lease, and what its end takes to be noticed. */
const LEASE_MS = 11_000
const pidOf = async () => (await world.gateway.state())!.pid

/** What the fence counts, whose counts outlive the tables of the daemon. */
const datagram = quic(name, [{ address: address4, port: 443, version: 1 }])

const cases: readonly BypassCase[] = [
  // First: its fence counts from zero.
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
      await until(() => stands(world), 15_000)
      outcomes.push(await call(world))
      const { children } = (await world.gateway.state())!
      for (const child of children) {
        if (child.name.startsWith('proxy') && child.pid !== undefined) process.kill(child.pid, 'SIGSTOP')
      }
      // Whoever is with a frozen worker waits; they are ended and replaced.
      await until(async () => (await call(world, '--max-time', '1')).code === 0, 25_000)
      await until(() => stands(world), 5000)
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
          await until(() => stands(world), 10_000)
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

runSuites(world, [{ policy: 'standard', cases }])
