/** When the promise held, as the log says it: across kills of the daemon and of each of its children. */
import { statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { LogRecord } from '../../daemon/recorder/record.ts'
import { enterLab } from '../lab/enter.ts'
import { mustChange } from './bypass/fence.ts'
import { call, stands, until } from './bypass/lifecycle.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(240_000)
await enterLab(import.meta.url)
const world = await openWorld()
t.teardown(() => world.stop())
await world.enforce('standard')

const RECORD_MS = 15_000
/** The sign of life is renewed every two seconds. */
const ALIVE_MS = 2500
/** How late a loaded supervisor may notice that a child has ended. */
const NOTICED_MS = 2000
const captured = async () => (await call(world)).code === 0
type Gap = Extract<LogRecord, { kind: 'gap' }>

const gapsAfter = (leaf: number, cause: string | RegExp): Gap[] =>
  world
    .recordsAfter(leaf)
    .filter((record) => record.kind === 'gap')
    .filter((gap) => (typeof cause === 'string' ? gap.cause === cause : cause.test(gap.cause)))
const iso = (time: number) => new Date(time).toISOString()

t.test(
  'a killed daemon: the gap lasts until calls are captured, and nothing that was counted is lost',
  async (t) => {
    const leaf = world.newestLeaf()
    const changes = 12
    for (let turn = 0; turn < changes; turn++) {
      await mustChange('insert rule inet aa_fence output accept comment "intruder"')
      await sleep(60)
    }
    // For the news of the last; the counts are held back for ten seconds.
    await sleep(500)
    const killed = Date.now()
    await world.gateway.kill()
    await sleep(500)
    await world.gateway.start()
    const running = Date.now()
    await until(() => gapsAfter(leaf, 'not-running').length > 0, RECORD_MS)
    const [gap, ...more] = gapsAfter(leaf, 'not-running')
    t.same(more, [], 'one gap')
    t.ok(gap && gap.from <= iso(killed) && gap.from >= iso(killed - ALIVE_MS), 'it begins with the end', {
      gap,
    })
    t.same(gap?.detail, { fence: 'stood' })
    t.ok(gap && gap.to >= iso(killed + 500) && gap.to <= iso(running), 'and ends once all stands', { gap })
    const counted = world
      .recordsAfter(leaf)
      .flatMap((record) =>
        record.kind === 'audit' && record.event === 'ruleset-changed' ? [record.detail] : [],
      )
      .filter(({ by, table }) => by === 'nft' && table === 'inet aa_fence')
    t.equal(
      counted.reduce((sum, { count }) => sum + Number(count), 0),
      changes,
      'every change is counted',
    )
  },
)

t.test('a daemon that is killed while it starts: no moment falls between the gaps', async (t) => {
  const leaf = world.newestLeaf()
  const { alive } = world.gateway.paths
  const killed = Date.now()
  await world.gateway.kill()
  for (const wait of [0, 100, 400]) {
    const before = statSync(alive).mtimeMs
    const starting = world.gateway.start()
    await until(() => statSync(alive).mtimeMs > before, RECORD_MS)
    await sleep(wait)
    await world.gateway.kill()
    // It sees the next one come up.
    starting.catch(() => {})
  }
  await world.gateway.start()
  const running = Date.now()
  await until(() => gapsAfter(leaf, 'not-running').length >= 4, RECORD_MS)
  const gaps = gapsAfter(leaf, 'not-running').sort((a, b) => (a.from < b.from ? -1 : 1))
  t.equal(gaps.length, 4, 'a gap for each end', { gaps })
  let covered = iso(killed)
  for (const { from, to } of gaps) {
    t.ok(from <= covered, `${from} is not after ${covered}`)
    if (to > covered) covered = to
  }
  t.ok(covered > iso(running - 1000), 'up to the last start')
})

t.test('an ordered stop: the gap begins with it, not with its end', async (t) => {
  const leaf = world.newestLeaf()
  const stopping = Date.now()
  await world.gateway.stop()
  await mustChange('flush ruleset')
  await world.gateway.start()
  await until(() => gapsAfter(leaf, 'not-running').length > 0, RECORD_MS)
  const [gap] = gapsAfter(leaf, 'not-running')
  t.same(gap?.detail, { fence: 'gone' }, 'and it tells that the fence was gone')
  t.ok(gap && gap.from <= iso(stopping + 500), 'from the beginning of the stop', {
    gap,
    stopping: iso(stopping),
  })
})

t.test(
  'each child killed: told, with the span for those that leave one, and calls are captured again',
  async (t) => {
    const spans: Record<string, string | RegExp | undefined> = {
      recorder: /did not stop cleanly/,
      sensor: 'sensor-blind',
      'proxy-1': undefined,
      'proxy-2': undefined,
      'development-chain': undefined,
    }
    const { children = [] } = (await world.gateway.state()) ?? {}
    t.same(children.map(({ name }) => name).sort(), Object.keys(spans).sort(), 'these are all')
    for (const [name, span] of Object.entries(spans)) {
      const leaf = world.newestLeaf()
      const child = (await world.gateway.state())?.children.find((each) => each.name === name)
      const killed = Date.now()
      process.kill(child?.pid ?? 0, 'SIGKILL')
      const died = () =>
        world
          .recordsAfter(leaf)
          .some((each) => each.kind === 'audit' && each.event === 'child-died' && each.detail.child === name)
      await until(died, RECORD_MS)
      t.ok(died(), `${name}: its death is a record`)
      if (span !== undefined) {
        await until(() => gapsAfter(leaf, span).length > 0, RECORD_MS)
        const [gap] = gapsAfter(leaf, span)
        t.ok(
          gap && gap.from <= iso(killed + NOTICED_MS) && gap.to >= iso(killed),
          `${name}: the span is a gap`,
          {
            gap,
          },
        )
      }
      t.ok((await until(captured, RECORD_MS)) < RECORD_MS, `${name}: captured again`)
      await until(() => stands(world), RECORD_MS)
    }
  },
)

t.test('a daemon that is killed while its sensor is blind: that span has an end', async (t) => {
  const leaf = world.newestLeaf()
  const sensor = (await world.gateway.state())?.children.find(({ name }) => name === 'sensor')
  process.kill(sensor?.pid ?? 0, 'SIGKILL')
  await until(async () => ((await world.gateway.state())?.sensor.blind.length ?? 0) > 0, RECORD_MS)
  const killed = Date.now()
  await world.gateway.kill()
  await world.gateway.start()
  // What was left is told when the recorder comes up, the time without a gateway once all stands.
  await until(() => gapsAfter(leaf, /sensor-blind|not-running/).length > 1, RECORD_MS)
  const [blind] = gapsAfter(leaf, 'sensor-blind')
  const [off] = gapsAfter(leaf, 'not-running')
  t.ok(blind && blind.from <= iso(killed), 'it is told', { blind })
  t.ok(blind && off && off.from <= blind.to, 'and the next span begins where it ends at the latest', {
    blind,
    off,
  })
})
