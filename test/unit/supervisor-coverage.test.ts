import { existsSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openCoverage } from '../../daemon/supervisor/coverage.ts'

type Gap = [cause: string, from: number, to: number, detail: object | undefined]

async function coverage(aliveFile: string, clock: { now: number }) {
  const gaps: Gap[] = []
  const audits: string[] = []
  /** Cause, begin, and what the sign of life says at that moment. */
  const drafts: [cause: string, from: number, alive: number | undefined][] = []
  const opened = await openCoverage({
    aliveFile,
    found: { fence: 'stood' },
    now: () => clock.now,
    audit: (event, detail) => audits.push(`${event} ${detail.cause}`),
    gap: (cause, from, to, detail) => gaps.push([cause, from, to, detail]),
    draft: (draft) => {
      if (draft.type === 'gap')
        drafts.push([draft.cause, draft.from, statSync(aliveFile, { throwIfNoEntry: false })?.mtimeMs])
    },
  })
  return { opened, gaps, audits, drafts }
}

t.test('the first start has no gap, the next one that since the last sign of life', async (t) => {
  const alive = join(t.testdir(), 'alive')
  const clock = { now: 1_000_000 }
  const first = await coverage(alive, clock)
  t.same(first.gaps, [])
  t.ok(existsSync(alive))
  clock.now = 1_500_000
  await first.opened.stopping()
  clock.now = 2_000_000
  const second = await coverage(alive, clock)
  t.same(
    second.drafts,
    [['not-running', 1_500_000, 1_500_000]],
    'written down before the sign of life is new',
  )
  t.same(second.gaps, [], 'it lasts until traffic is captured')
  clock.now = 2_500_000
  second.opened.running()
  t.same(second.gaps, [['not-running', 1_500_000, 2_500_000, { fence: 'stood' }]])
  await second.opened.stopping()
})

t.test('a clock that was set back makes no gap that ends before it begins', async (t) => {
  const alive = join(t.testdir({ alive: '' }), 'alive')
  utimesSync(alive, new Date(9_000_000), new Date(9_000_000))
  const { opened, gaps } = await coverage(alive, { now: 5_000_000 })
  opened.running()
  t.same(gaps, [['not-running', 5_000_000, 5_000_000, { fence: 'stood' }]])
  await opened.stopping()
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
  await opened.stopping()
})

t.test('an ordered stop closes what is open', async (t) => {
  const clock = { now: 1 }
  const { opened, gaps } = await coverage(join(t.testdir(), 'alive'), clock)
  opened.lost('redirect-lost')
  clock.now = 5
  await opened.stopping()
  t.same(gaps, [['redirect-lost', 1, 5, {}]])
})

t.test('what comes after the beginning of an ordered stop belongs to the next gap', async (t) => {
  const alive = join(t.testdir(), 'alive')
  const clock = { now: 1_000_000 }
  const { opened, gaps } = await coverage(alive, clock)
  await opened.stopping()
  clock.now = 9_000_000
  opened.lost('sensor-blind')
  await opened.stopping()
  t.same(gaps, [])
  const next = await coverage(alive, clock)
  next.opened.running()
  t.same(next.gaps, [['not-running', 1_000_000, 9_000_000, { fence: 'stood' }]])
  await next.opened.stopping()
})

t.test('a start that fails leaves no hole between two gaps', async (t) => {
  const alive = join(t.testdir({ alive: '' }), 'alive')
  utimesSync(alive, new Date(1_000_000), new Date(1_000_000))
  const clock = { now: 2_000_000 }
  const failed = await coverage(alive, clock)
  clock.now = 3_000_000
  await failed.opened.stopping()
  t.same(failed.gaps, [['not-running', 1_000_000, 3_000_000, { fence: 'stood' }]])
  clock.now = 4_000_000
  const next = await coverage(alive, clock)
  t.same(next.drafts, [['not-running', 3_000_000, 3_000_000]])
  await next.opened.stopping()
})
