/** Root or a service of the machine changes the rules: numbers 59, 60, 61 and 63 of docs/bypass.md under `standard`. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { EXAMPLE, OPENAI } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { FOREIGN_RULESETS, reload, restart } from '../lab/foreign-tables.ts'
import type { Outcome } from '../lab/process.ts'
import { inTurn, quic } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { FENCES, mustChange, watchedFence } from './bypass/fence.ts'
import { audit, call, gap, meanwhile, nft, refusedAtOnce } from './bypass/lifecycle.ts'
import { exchange, refusal } from './bypass/records.ts'
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
const fence = watchedFence()

/** Somebody's change, and calls right after it. */
const tampered = (script: string): Promise<Outcome[]> =>
  fence.changeDuring(script, async () => [
    ...(await all('agent1', quic(name, [{ address: address4, port: 443, version: 1 }]))),
    await call(world, '-4', '--max-time', '4'),
  ])

const ACCEPTS = 'accept comment "intruder"'
const cases: readonly BypassCase[] = [
  {
    ...captured,
    number: 59,
    name: 'nft flush ruleset twenty times under calls, each undone within a second',
    open: false,
    attempt: async () => {
      await fence.remember()
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
      fence.assertRestored(t)
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
      await fence.remember()
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
      fence.assertRestored(t)
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
    name: 'accepts at the head of our chains, chains before them that accept all, track nothing, or turn calls elsewhere',
    watch: [EXAMPLE],
    open: false,
    attempt: async () => {
      await fence.remember()
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
      // As early as a translation may come, and where everybody's comes.
      for (const priority of [-199, -100]) {
        await mustChange(
          `add table inet turning
           add chain inet turning output { type nat hook output priority ${priority}; }
           add rule inet turning output meta skuid ${AGENT} ip daddr ${address4} dnat ip to ${EXAMPLE.address4}
           add rule inet turning output meta skuid ${AGENT} ip6 daddr ${address6} dnat ip6 to ${EXAMPLE.address6}`,
        )
        outcomes.push(await call(world, '-4'), await call(world, '-6'))
        await mustChange('delete table inet turning')
      }
      outcomes.push(await call(world))
      return outcomes
    },
    client: (t, outcomes) => {
      const [untracked4, untracked6, turned4, turned6, late4, late6, after] = outcomes.slice(-7)
      for (const each of [untracked4, untracked6])
        t.ok(refusedAtOnce(each!), 'what isn’t tracked is refused', { each })
      for (const each of [turned4, turned6])
        t.ok(refusedAtOnce(each!), 'as is what was turned elsewhere', { each })
      for (const each of [late4, late6, after]) t.equal(each?.code, 0, 'captured', { each })
      fence.assertRestored(t)
    },
    records: [
      audit('ruleset-changed', { table: 'inet aa_fence' }),
      audit('foreign-ruleset-changed', { table: /intruder/, what: /hook/ }),
      audit('foreign-ruleset-changed', { table: /untracked/, what: /notrack/ }),
      audit('foreign-ruleset-changed', { table: /turning/, what: /dnat/ }),
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
      await fence.remember()
      const outcomes = await meanwhile(world, async () => {
        for (const ruleset of Object.values(FOREIGN_RULESETS)) {
          for (const script of [ruleset, reload(ruleset), restart(ruleset)]) {
            await fence.change(script)
          }
        }
      })
      await fence.change('flush ruleset')
      outcomes.push(await call(world))
      return outcomes
    },
    client: (t, outcomes) => {
      t.same(
        outcomes.filter(({ code }) => code !== 0),
        [],
        'each call was captured all the while',
      )
      fence.assertRestored(t)
    },
    records: [
      audit('foreign-ruleset-changed', { table: /firewalld|filter|nat/ }),
      gap('ruleset-changed'),
      exchange({ uid: AGENT, provider: 'openai', status: 200 }),
    ],
    recordWithinMs: 20_000,
  },
]

runSuites(world, [{ policy: 'standard', cases }])
