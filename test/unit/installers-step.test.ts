import { join } from 'node:path'
import t from 'tap'
import { type ManifestEntry, openManifest } from '../../installers/manifest.ts'
import { type Step, takeSteps } from '../../installers/step.ts'
import { scratch } from './scratch.ts'

const account = (name: string): ManifestEntry => ({ kind: 'account', name })

/** Steps a, b, c that each add one entry; `failing` throws after it, `broken` can't be put back. */
async function rig(options: { failing?: string; broken?: string; earlier?: ManifestEntry[] } = {}) {
  const file = join(scratch(), 'etc/manifest.json')
  const manifest = await openManifest(file)
  for (const entry of options.earlier ?? []) await manifest.add(entry)
  const events: string[] = []
  const interruption = new AbortController()
  const steps = ['a', 'b', 'c'].map(
    (name): Step => ({
      name,
      async do() {
        await manifest.add(account(name))
        events.push(`do ${name}`)
        if (name === options.failing) throw new Error(`${name} failed`)
      },
      async undo() {
        events.push(`undo ${name}`)
        if (name === options.broken) throw new Error(`${name} is broken`)
      },
    }),
  )
  const run = () =>
    takeSteps(steps, {
      manifest,
      signal: interruption.signal,
      undo: async (entry) => events.push(`drop ${'name' in entry && entry.name}`),
      onRollback: (step, error) => events.push(`${step.name}: ${(error as Error).message}`),
    })
  return { run, events, manifest, interruption, steps, again: () => openManifest(file) }
}

t.test('all steps taken: nothing is taken back', async (t) => {
  const { run, events, again } = await rig()
  t.equal(await run(), undefined)
  t.same(events, ['do a', 'do b', 'do c'])
  t.equal((await again()).steps.length, 3)
})

for (const [failing, taken] of [
  ['a', ['a']],
  ['b', ['a', 'b']],
  ['c', ['a', 'b', 'c']],
] as const) {
  t.test(
    `step ${failing} fails: what was begun is taken back in reverse, its own beginnings first`,
    async (t) => {
      const { run, events, again } = await rig({ failing })
      await run()
      const back = [...taken].reverse().flatMap((name) => [`drop ${name}`, `undo ${name}`])
      t.same(events, [...taken.map((name) => `do ${name}`), `${failing}: ${failing} failed`, ...back])
      t.same((await again()).steps, [], 'the manifest is gone')
    },
  )
}

t.test('what an earlier install recorded is not taken back', async (t) => {
  const { run, events, again } = await rig({ failing: 'b', earlier: [account('a')] })
  await run()
  t.same(events, ['do a', 'do b', 'b: b failed', 'drop b', 'undo b', 'undo a'])
  t.same((await again()).steps, [account('a')])
})

t.test('a step that can not be put back is named, and the others are', async (t) => {
  const { run, events } = await rig({ failing: 'c', broken: 'b' })
  const back = await run()
  t.same(
    back?.filter(({ error }) => error),
    [{ what: 'b', error: 'b is broken' }],
  )
  t.ok(events.includes('undo a'))
})

t.test('interrupted while a step is under way: it ends, and all is taken back', async (t) => {
  const { run, events, interruption, steps } = await rig()
  const { do: act } = steps[1]!
  Object.assign(steps[1]!, {
    async do() {
      await act()
      interruption.abort()
    },
  })
  t.ok(await run())
  t.same(events, ['do a', 'do b', 'b: interrupted', 'drop b', 'undo b', 'drop a', 'undo a'])
})
