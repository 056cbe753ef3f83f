/**
 * 64 agents try every way to a provider at once, while root changes the rules at random every 200 ms: the provider
 * sees nobody but the proxy, every request that it sees has its record, and afterwards all is as it was.
 *
 * Root could take the fence and its owned copy away together; nobody can hold that. So whoever owns the copy is
 * killed only while the fence stands, and left to be replaced before the next change.
 */
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { addressesOf, PROVIDERS } from '../lab/addresses.ts'
import { startContainer } from '../lab/containers.ts'
import { enterLab } from '../lab/enter.ts'
import { answered } from './bypass/attempts.ts'
import { judge, type Sight, unrecorded } from './bypass/judge.ts'
import { call, until, visit } from './bypass/lifecycle.ts'
import { openWorld } from './bypass/world.ts'
import { cast, type Told } from './enforcement-stress/cast.ts'
import { fenceText, tamperer } from './enforcement-stress/tampering.ts'

const STORM_MS = 30_000
const CHANGE_MS = 200
const SETTLE_MS = 20_000

t.setTimeout(200_000)
await enterLab(import.meta.url, { pass: ['STRESS_SEED'] })
const seed = Number(process.env.STRESS_SEED ?? randomInt(1 << 30))
t.comment(`again with: STRESS_SEED=${seed}`)
const world = await openWorld()
t.teardown(() => world.stop())
const container = await startContainer({ kind: 'bridge' })
const { agents, ways, start } = cast(world.lab, container, seed)
const watched = new Set(PROVIDERS.flatMap(addressesOf))
const told = (before: Sight, after: Sight) => judge(before, after, watched)

void t.test('without the gateway each way gets through', async (t) => {
  for (const way of ways.filter(({ needsGateway }) => !needsGateway)) {
    const before = await world.sight()
    const said = await start([way], { count: 2 }).over
    const { intruders } = told(before, await world.sight())
    t.ok(intruders.length > 0, `${way.way}, ${way.from}`, { said })
  }
})

void t.test(`${agents.length} agents, and a change of the rules every ${CHANGE_MS} ms`, async (t) => {
  t.equal(agents.length, 64)
  await world.enforce('strict')
  const leaf = world.newestLeaf()
  const before = await world.sight()
  answered(t, [await call(world, '-4'), await call(world, '-6')])
  const fence = await fenceText()

  const accounts = Map.groupBy(agents, ({ from, user }) => `${user} in ${from}`)
  const running = [...accounts.values()].map((each) => start(each))
  const stop = () => {
    for (const each of running) each.stop()
  }
  t.teardown(stop)
  const tampering = await tamperer(world, seed)
  t.teardown(tampering.close)
  const began = performance.now()
  const everyKind = () => [...tampering.done.values()].every((times) => times > 0)
  while (performance.now() - began - tampering.waited() < STORM_MS || !everyKind()) {
    if (performance.now() - began > 2 * STORM_MS) break
    const next = performance.now() + CHANGE_MS
    await tampering.change()
    await sleep(Math.max(0, next - performance.now()))
  }
  await tampering.end()
  stop()
  const outcomes: Told[] = []
  for (const { over } of running) outcomes.push(...(await over))

  // The rest of the world is there at once, and so is the gateway.
  for (const family of ['-4', '-6']) {
    const ms = await until(async () => (await visit(world, family)).code === 0, SETTLE_MS)
    t.ok(ms < SETTLE_MS, `foreign traffic flows, ${family}`)
  }
  answered(t, [await call(world, '-4'), await call(world, '-6')])
  await until(async () => (await fenceText()) === fence, SETTLE_MS)
  t.equal(await fenceText(), fence, 'the fence is as it was')

  for (const { way, from } of ways) {
    const all = outcomes.filter((each) => each.way === way && each.from === from)
    const attempts = all.reduce((sum, each) => sum + each.attempts, 0)
    const answers = all.reduce((sum, each) => sum + each.answered, 0)
    t.ok(attempts > 0, `${way}, ${from}: ${attempts} attempts, ${answers} answered`)
  }
  t.comment(`${tampering.acts.length} changes`)
  for (const act of tampering.acts) t.comment(act)
  for (const [kind, times] of tampering.done) t.ok(times > 0, `${kind}: ${times} times`)

  const { intruders, proxied, requests } = told(before, await world.sight())
  const few = intruders.slice(0, 20)
  t.same(few, [], `providers saw nobody but the proxy, but for ${intruders.length}`, { acts: tampering.acts })
  t.ok(proxied.length > 0)
  t.ok(requests.length > 0)
  await until(() => unrecorded(requests, world.recordsAfter(leaf)).length === 0, SETTLE_MS)
  t.same(
    unrecorded(requests, world.recordsAfter(leaf)),
    [],
    `each of ${requests.length} requests has its record`,
  )
})
