import { existsSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openCoverage } from '../../daemon/supervisor/coverage.ts'

type Gap = [cause: string, from: number, to: number, detail: object | undefined]

async function coverage(aliveFile: string, clock: { now: number }) {
  const gaps: Gap[] = []
  const audits: string[] = []
  const opened = await openCoverage({
    aliveFile,
    now: () => clock.now,
    audit: (event, detail) => audits.push(`${event} ${detail.cause}`),
    gap: (cause, from, to, detail) => gaps.push([cause, from, to, detail]),
  })
  return { opened, gaps, audits }
}

t.test('the first start has no gap, the next one that since the last sign of life', async (t) => {
  const alive = join(t.testdir(), 'alive')
  const clock = { now: 1_000_000 }
  const first = await coverage(alive, clock)
  t.same(first.gaps, [])
  t.ok(existsSync(alive))
  clock.now = 1_500_000
  await first.opened.close()
  clock.now = 2_000_000
  const second = await coverage(alive, clock)
  t.same(second.gaps, [['not-running', 1_500_000, 2_000_000, undefined]])
  await second.opened.close()
})

t.test('a clock that was set back makes no gap that ends before it begins', async (t) => {
  const alive = join(t.testdir({ alive: '' }), 'alive')
  utimesSync(alive, new Date(9_000_000), new Date(9_000_000))
  const { opened, gaps } = await coverage(alive, { now: 5_000_000 })
  t.same(gaps, [['not-running', 5_000_000, 5_000_000, undefined]])
  await opened.close()
})

t.test('what is lost is told at once and once, and becomes a gap when it is regained', async (t) => {
  const clock = { now: 10 }
  const { opened, gaps, audits } = await coverage(join(t.testdir(), 'alive'), clock)
  opened.lost('sensor-blind', { device: 'eth0' })
  clock.now = 20
  opened.lost('sensor-blind', { device: 'eth1' })
  t.same(audits, ['coverage-lost sensor-blind'])
  opened.regained('redirect-lost')
  t.same(gaps, [])
  clock.now = 30
  opened.regained('sensor-blind')
  t.same(gaps, [['sensor-blind', 10, 30, { device: 'eth0' }]])
  opened.regained('sensor-blind')
  t.equal(gaps.length, 1)
  await opened.close()
})

t.test('an ordered stop closes what is open', async (t) => {
  const clock = { now: 1 }
  const { opened, gaps } = await coverage(join(t.testdir(), 'alive'), clock)
  opened.lost('redirect-lost')
  clock.now = 5
  await opened.close()
  t.same(gaps, [['redirect-lost', 1, 5, {}]])
})
