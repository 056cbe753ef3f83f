/** The enforcer over stand-ins: what it does when, without a kernel. test/system/guard.test.ts has the kernel. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { openAddressBook } from '../../daemon/supervisor/address-book.ts'
import { cutBook } from '../../daemon/supervisor/cut-book.ts'
import { evidence } from '../../daemon/supervisor/enforcement/evidence.ts'
import { pace } from '../../daemon/supervisor/enforcement/pace.ts'
import { repeated } from '../../daemon/supervisor/enforcement/repeated.ts'
import { tally } from '../../daemon/supervisor/enforcement/tally.ts'
import { enforcer } from '../../daemon/supervisor/enforcer.ts'
import type { Log } from '../../daemon/supervisor/log.ts'
import type { Enforcement } from '../../firewall/enforcement.ts'
import { FirewallError } from '../../firewall/errors.ts'
import { fakeNft } from '../../firewall/fake-nft.ts'
import { FENCE_TABLE, REDIRECT_TABLE } from '../../firewall/nftables.ts'
import type { Transaction } from '../../firewall/ruleset-events.ts'
import type { watchRuleset } from '../../firewall/ruleset-watch.ts'

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const WRITER = 70
const OWNER = 71
const LEASE_MS = 300

async function rig(t: Test, fence: Enforcement['fence'] = 'providers') {
  const directory = await mkdtemp(join(tmpdir(), 'aa-enforcer-'))
  const nft = fakeNft()
  const book = await openAddressBook(join(directory, 'addresses.json'), Date.now())
  const audit: [string, Record<string, unknown>][] = []
  const gaps: [string, number, number][] = []
  const log: string[] = []
  const updates: Enforcement[] = []
  const watches: { options: Parameters<typeof watchRuleset>[0]; die: (how: string) => void }[] = []
  const redirects: { die: (code: number | null) => void }[] = []
  const cuts = cutBook()
  const uplinks = { names: [] as string[], changed: (_: string[]) => {} }
  const state = { well: true, beats: 0, updateFails: 0 }
  const queues = { held: [] as string[], closed: false }
  const word = (text: string) => void log.push(text)

  const it = enforcer({
    nft,
    base: {
      fence,
      redirect: 'ports',
      ports: [443],
      bridges: ['docker0'],
      proxyUids: [1002],
      subjects: 'everyone',
      exempt: { uids: [], gids: [], cgroups: [] },
      allowed: [],
      redirectPort: 18443,
      localPorts: [],
      guardedPorts: [],
      logGroup: 71,
      dnsLogGroup: 72,
      resolversRefused: false,
      leaseMs: LEASE_MS,
    },
    book,
    cuts,
    fenceScript: join(directory, 'fence.nft'),
    log: { error: word, info: word, warn: word } as unknown as Log,
    changed: () => {},
    audit: (event, detail) => void audit.push([event, detail]),
    gap: (cause, from, to) => void gaps.push([cause, from, to]),
    draft: () => {},
    healthy: () => state.well,
    parts: {
      openNftSession: async () => ({
        pid: WRITER,
        exited: new Promise(() => {}),
        run: (script) => nft.apply(script),
        close: async () => {},
      }),
      async startRedirect(enforcement) {
        updates.push(enforcement)
        const exited = Promise.withResolvers<number | null>()
        redirects.push({ die: exited.resolve })
        return {
          pid: 2 ** 22 + 1,
          exited: exited.promise,
          async update(next) {
            if (state.updateFails-- > 0) throw new Error('no')
            updates.push(next)
          },
          async beat() {
            state.beats += 1
          },
          stop: async () => {},
        }
      },
      async watchRuleset(options) {
        const exited = Promise.withResolvers<string>()
        watches.push({ options, die: exited.resolve })
        return {
          heard: () => performance.now(),
          exited: exited.promise,
          async introduce(run) {
            await run('add table inet aa_hello_0\ndelete table inet aa_hello_0')
            return WRITER
          },
          stop: async () => exited.resolve('stopped'),
        }
      },
      watchPath: () => ({ stop() {} }),
      xdpQueues: () => ({
        hold(devices) {
          queues.held = [...devices]
          return []
        },
        devices: () => queues.held,
        close() {
          queues.closed = true
        },
      }),
      watchUplinks(options) {
        uplinks.changed = (names) => {
          uplinks.names = names
          options.changed(names)
        }
        return {
          get names() {
            return uplinks.names
          },
          look: () => {},
          stop: () => {},
        }
      },
    },
  })
  let stopped = false
  const stop = async () => {
    if (!stopped) await it.stop()
    stopped = true
  }
  t.teardown(async () => {
    await stop()
    await rm(directory, { recursive: true })
  })
  /** As the kernel would tell of it. */
  let generation = 100
  const commit = (
    pid: number | undefined,
    family: string,
    name: string,
    what = `flush table ${family} ${name}`,
  ) => {
    const transaction: Transaction = {
      generation: ++generation,
      pid,
      process: pid === undefined ? undefined : 'someone',
      tables: [{ family, name, what, weight: 'other', changes: 1 }],
    }
    const watch = watches.at(-1)
    if (pid === undefined || !watch?.options.ownPids().has(pid)) watch?.options.changed(transaction)
    return transaction
  }
  const raised = () =>
    nft.applied.filter((script) => script.includes(`add chain inet ${FENCE_TABLE} output`)).length
  return {
    it,
    nft,
    book,
    audit,
    gaps,
    log,
    updates,
    watches,
    redirects,
    uplinks,
    queues,
    state,
    commit,
    raised,
    stop,
    directory,
  }
}

t.test('the fence is raised once, written down for the next boot, and left alone', async (t) => {
  const { it, audit, directory, nft, raised, commit } = await rig(t)
  await it.raiseFence()
  await it.startRedirect()
  t.match(it.state(), { fence: true, redirect: true, watched: true, addresses: 0 })
  t.equal(raised(), 1)
  t.match(await readFile(join(directory, 'fence.nft'), 'utf8'), `add table inet ${FENCE_TABLE}`)
  t.match(await readFile(join(directory, 'egress.nft'), 'utf8'), `add table netdev ${FENCE_TABLE}`)
  commit(WRITER, 'inet', FENCE_TABLE)
  commit(OWNER, 'inet', REDIRECT_TABLE)
  commit(OWNER, 'inet', FENCE_TABLE)
  await later(60)
  t.equal(raised(), 1, 'its own doings, and its owner’s, are none of others')
  t.same(audit, [])
  t.equal(await nft.ownership('inet', FENCE_TABLE), 'unowned')
})

t.test('somebody’s change is undone and told; many at once cost one restoration', async (t) => {
  const { it, audit, gaps, nft, raised, commit, stop } = await rig(t)
  await it.raiseFence()
  await it.startRedirect()
  await nft.apply(`delete table inet ${FENCE_TABLE}`)
  for (let i = 0; i < 50; i++) commit(4000 + i, 'inet', FENCE_TABLE, 'delete table inet aa_fence')
  await later(60)
  t.equal(raised(), 2)
  t.equal(await nft.ownership('inet', FENCE_TABLE), 'unowned')
  t.match(it.state().lastTamper, { by: 'someone', what: 'inet aa_fence: delete table inet aa_fence' })
  const one = {
    by: 'someone',
    pid: 4000,
    table: 'inet aa_fence',
    what: 'delete table inet aa_fence',
    count: 1,
  }
  t.same(audit, [['ruleset-changed', one]], 'once at once')
  t.match(gaps, [['ruleset-changed', Number, Number]])
  await stop()
  t.match(audit.at(-1), ['ruleset-changed', { count: 49 }], 'the rest by number')
})

t.test('what somebody puts into our table goes, although the table is restored in place', async (t) => {
  const { it, nft, commit } = await rig(t)
  await it.raiseFence()
  await nft.apply(
    `add chain inet ${FENCE_TABLE} evil { type filter hook output priority -5; policy accept; }`,
  )
  commit(4000, 'inet', FENCE_TABLE)
  await later(60)
  t.notMatch(await nft.listText('inet', FENCE_TABLE, { elements: true }), 'evil')
})

t.test('a change whose maker isn’t known is judged by what stands', async (t) => {
  const { it, audit, nft, raised, commit } = await rig(t)
  await it.raiseFence()
  commit(undefined, 'inet', FENCE_TABLE)
  await later(60)
  t.equal(raised(), 1, 'all is as it was made')
  await nft.apply(`insert rule inet ${FENCE_TABLE} output accept`)
  commit(undefined, 'inet', FENCE_TABLE)
  await later(400)
  t.equal(raised(), 2)
  t.match(audit, [['ruleset-changed', { by: 'unknown', what: 'chain output is another', count: 1 }]])
  t.notMatch(await nft.listText('inet', FENCE_TABLE, { elements: true }), /^\t\taccept$/m)
})

t.test('tables of others are told of, not touched', async (t) => {
  const { it, audit, nft, raised, commit, stop } = await rig(t)
  await it.raiseFence()
  const applied = nft.applied.length
  for (let i = 0; i < 20; i++) commit(5000, 'ip', 'nat', 'add rule ip nat DOCKER accept')
  await later(60)
  t.equal(nft.applied.length, applied)
  t.equal(raised(), 1)
  t.equal(audit.length, 1)
  await stop()
  t.match(audit, [
    ['foreign-ruleset-changed', { by: 'someone', table: 'ip nat', count: 1 }],
    ['foreign-ruleset-changed', { count: 19 }],
  ])
})

t.test('without a watch the rules are looked at, and its absence is a gap', async (t) => {
  const { it, audit, gaps, nft, watches } = await rig(t)
  await it.raiseFence()
  watches[0]?.die('SIGKILL')
  await nft.apply(`insert rule inet ${FENCE_TABLE} output accept`)
  await later(400)
  t.equal(watches.length, 2)
  t.equal(it.state().watched, true)
  t.match(gaps, [['ruleset-unwatched'], ['ruleset-changed']])
  t.match(audit, [['ruleset-changed', { by: 'unknown' }]])
})

t.test('a watch that is confused is replaced without a blind moment', async (t) => {
  const { it, gaps, watches, commit, raised } = await rig(t)
  await it.raiseFence()
  watches[0]?.options.confused()
  await later(60)
  t.equal(watches.length, 2)
  t.equal(it.state().watched, true)
  t.same(gaps, [])
  const transaction = commit(4000, 'inet', FENCE_TABLE)
  await later(60)
  watches[0]?.options.changed(transaction)
  await later(60)
  t.equal(raised(), 2, 'what both tell counts once')
})

t.test('addresses reach the rules at once, as many together as came meanwhile', async (t) => {
  const { it, book, updates } = await rig(t)
  await it.raiseFence()
  await it.startRedirect()
  const before = updates.length
  const all = Array.from({ length: 10 }, (_, i) => {
    book.learn([{ address: `203.0.113.${i}` }], Date.now())
    return it.addressesChanged()
  })
  t.equal(book.learn([{ address: '203.0.113.3' }], Date.now()), false)
  await it.addressesHeld()
  t.equal(updates.at(-1)?.addresses4.length, 10, 'also for who asks for one that others announced')
  await Promise.all(all)
  t.equal(updates.at(-1)?.addresses4.length, 10)
  t.ok(updates.length - before <= 2)
})

t.test('an address that came before the owned tables stood is in the fence too', async (t) => {
  const { it, book, nft, updates, redirects } = await rig(t)
  const inFence = async () =>
    (await nft.listText('inet', FENCE_TABLE, { elements: true }))?.match(/(?<!:)203\.0\.113\.\d+/g)?.sort()
  await it.raiseFence()
  const started = it.startRedirect()
  book.learn([{ address: '203.0.113.1' }], Date.now())
  await Promise.all([started, it.addressesChanged()])
  book.learn([{ address: '203.0.113.2' }], Date.now())
  // Nobody has announced it when the next owner begins with it.
  redirects[0]?.die(1)
  while (redirects.length < 2) await later(5)
  await it.addressesChanged()
  t.same(updates.at(-1)?.addresses4, ['203.0.113.1', '203.0.113.2'])
  t.same(
    await inFence(),
    ['203.0.113.1', '203.0.113.2'],
    'what is redirected is refused once the daemon is dead',
  )
})

t.test('an update that the kernel refuses is made again, with the fence', async (t) => {
  const { it, book, updates, raised, state } = await rig(t)
  await it.raiseFence()
  await it.startRedirect()
  state.updateFails = 1
  book.learn([{ address: '203.0.113.1' }], Date.now())
  await it.addressesChanged()
  t.equal(raised(), 2)
  t.same(updates.at(-1)?.addresses4, ['203.0.113.1'])
})

t.test('other uplinks are taken into all rules', async (t) => {
  const { it, uplinks, updates, audit, queues, stop } = await rig(t)
  await it.raiseFence()
  await it.startRedirect()
  uplinks.changed(['eth0', 'wg0'])
  await later(50)
  t.same(updates.at(-1)?.uplinks, ['eth0', 'wg0'])
  t.same(it.uplinks(), ['eth0', 'wg0'])
  t.match(audit, [['uplinks-changed', { uplinks: 'eth0 wg0' }]])
  t.same(queues.held, ['eth0', 'wg0'])
  uplinks.changed(['wg0'])
  t.same(queues.held, ['eth0', 'wg0'], 'what may come up again stays held')
  await stop()
  t.ok(queues.closed)
})

t.test('under a policy that refuses nothing the queues of drivers are left to others', async (t) => {
  const { it, uplinks, queues } = await rig(t, 'nothing')
  await it.raiseFence()
  uplinks.changed(['eth0'])
  t.same(queues.held, [])
  t.same(it.state().openQueues, [])
})

t.test('a kernel that can’t look at frames on the devices has the rest, and says so', async (t) => {
  const { it, nft } = await rig(t)
  const { apply } = nft
  nft.apply = async (script) => {
    if (script.includes(' netdev '))
      throw new FirewallError('kernel-unsupported', 'no egress hook', 'take a newer kernel')
    await apply(script)
  }
  await it.raiseFence()
  t.equal(it.state().fence, true)
  t.equal(it.state().egress, false)
})

t.test('the owner of the redirect is replaced, and the span without it told', async (t) => {
  const { it, redirects, audit, gaps } = await rig(t)
  await it.raiseFence()
  await it.startRedirect()
  redirects[0]?.die(null)
  await later(50)
  t.equal(redirects.length, 2)
  t.equal(it.state().redirect, true)
  t.match(audit, [
    ['redirect-lost', { code: -1 }],
    ['redirect-restored', {}],
  ])
  t.match(gaps, [['redirect-lost']])
})

t.test('the lease is renewed while the gateway is well, and only then', async (t) => {
  const { it, state, audit, gaps } = await rig(t)
  await it.raiseFence()
  await it.startRedirect()
  await later(LEASE_MS)
  t.ok(state.beats >= 2)
  state.well = false
  const { beats } = state
  await later(2 * LEASE_MS)
  t.ok(state.beats <= beats + 1)
  t.equal(it.state().redirect, false)
  state.well = true
  await later(LEASE_MS)
  t.equal(it.state().redirect, true)
  t.match(audit, [['redirect-lost'], ['redirect-restored']])
  const [, from = 0, to = 0] = gaps[0] ?? []
  t.ok(to - from >= LEASE_MS / 2)
})

t.test('restorations keep a distance, and a greater one in a fight', async (t) => {
  const next = pace()
  t.equal(next(1000), 0)
  t.equal(next(1001), 24)
  let now = 1025
  let waited = 0
  for (let i = 0; i < 100; i++) {
    waited = next(now)
    now += waited
  }
  t.equal(waited, 250)
  t.equal(next(now + 60_000), 0, 'peace')
})

t.test('records are few and their counts exact', async (t) => {
  const told: [string, number, number, number][] = []
  const kept = tally<string>(50, ({ sample, count, from, to }) => told.push([sample, count, from, to]))
  for (let i = 0; i < 5; i++) kept.add('a', `a${i}`, i, i + 1)
  kept.add('b', 'b', 9, 9)
  t.same(told, [
    ['a0', 1, 0, 1],
    ['b', 1, 9, 9],
  ])
  await later(80)
  t.same(told.slice(2), [['a1', 4, 1, 5]])
  kept.add('a', 'a5', 6, 6)
  t.equal(told.length, 3, 'the next window')
  kept.flush()
  t.same(told[3], ['a5', 1, 6, 6])
  for (let i = 0; i < 1000; i++) kept.add(`key ${i}`, 'x', i, i)
  kept.flush()
  t.equal(told.length, 4 + 64 + 2, 'made-up keys are told together')
  t.equal(
    told.slice(4).reduce((sum, [, count]) => sum + count, 0),
    1000,
  )
})

t.test('a change that turns packets is told at once, however many harmless ones came before', async (t) => {
  const audit: unknown[][] = []
  const records = evidence({
    audit: (...told) => void audit.push(told),
    gap: () => {},
    draft: () => {},
  })
  const change = { by: 'nft', pid: 7, table: 'ip evil', weight: 'other' } as const
  for (const what of ['add table ip evil', 'add set ip evil s', 'delete set ip evil s'])
    records.foreign({ ...change, what })
  records.foreign({ ...change, weight: 'turns', what: 'add rule ip evil o dnat to 192.0.2.1' })
  records.path('routing rule of IPv4 made')
  t.match(audit, [
    ['foreign-ruleset-changed', { what: 'add table ip evil', count: 1 }],
    ['foreign-ruleset-changed', { what: /dnat/, count: 1 }],
    ['path-changed', { what: 'routing rule of IPv4 made', count: 1 }],
  ])
  records.flush()
  t.match(audit.slice(3), [['foreign-ruleset-changed', { what: 'add set ip evil s', count: 2 }]])
})

t.test('a gap that is told for several covers them all', async (t) => {
  const gaps: unknown[][] = []
  const drafts: unknown[] = []
  const records = evidence({
    audit: () => {},
    gap: (...gap) => void gaps.push(gap),
    draft: (draft) => void drafts.push(draft),
  })
  records.exposed('ruleset-changed', 10, 20, 'x')
  records.exposed('ruleset-changed', 30, 40, 'y')
  records.exposed('ruleset-changed', 25, 50, 'z')
  records.flush()
  t.match(gaps, [
    ['ruleset-changed', 10, 20, { what: 'x', count: 1 }],
    ['ruleset-changed', 25, 50, { what: 'y', count: 2 }],
  ])
  const id = gaps[1]?.[4]
  t.match(
    drafts,
    [
      { type: 'gap', id, from: 30, to: 40, detail: { count: 1 } },
      { type: 'gap', id, from: 25, to: 50, detail: { what: 'y', count: 2 } },
    ],
    'and while it is held back it stands ready under its id',
  )
})

t.test('a change that a look finds before its news arrives is told once, by its maker', async (t) => {
  const audit: unknown[][] = []
  const records = evidence({
    audit: (...told) => void audit.push(told),
    gap: () => {},
    draft: () => {},
  })
  const change = { by: 'nft', pid: 7, table: 'inet aa_fence', what: 'x' }
  let looked = performance.now()
  records.found('inet aa_fence', 'chain output is another', looked)
  records.tampered(change)
  looked = performance.now()
  records.tampered(change)
  records.found('inet aa_fence', 'chain output is another', looked)
  t.equal(records.last()?.by, 'nft')
  records.found('inet aa_fence', 'it is gone', performance.now() + 1)
  records.flush()
  t.match(audit, [
    ['ruleset-changed', { by: 'nft', count: 1 }],
    ['ruleset-changed', { by: 'unknown', what: 'it is gone', count: 1 }],
    ['ruleset-changed', { by: 'nft', count: 1 }],
  ])
})

t.test('repeated work starts again for whoever came while it ran, and after a failure', async (t) => {
  let runs = 0
  let failures = 1
  const work = repeated({
    async work() {
      runs += 1
      await later(20)
      if (failures-- > 0) throw new Error('once')
    },
    failed: () => {},
  })
  const first = work.run()
  await later(5)
  const others = [work.run(), work.run(), work.run()]
  // The wait before another try keeps no process from ending: this one does.
  await Promise.all([first, ...others, later(700)])
  t.equal(runs, 2)
  await work.run()
  t.equal(runs, 3)
  work.stop()
})

t.test('addresses of providers do not age when the wall clock is set forward', async (t) => {
  const everyMinute: (() => void)[] = []
  const { setInterval: real } = globalThis
  const intervals = mock.method(globalThis, 'setInterval', (act: () => void, ms: number) => {
    if (ms === 60_000) everyMinute.push(act)
    return real(act, ms)
  })
  const { book } = await rig(t)
  intervals.mock.restore()
  const now = Date.now()
  book.learn([{ address: '203.0.113.10', name: 'api.openai.com' }], now)
  const clock = mock.method(Date, 'now', () => now + 10 * 365 * 86_400_000)
  t.teardown(() => clock.mock.restore())
  t.equal(everyMinute.length, 1, 'what is out of date is let go once a minute')
  for (const act of everyMinute) act()
  t.same(book.addresses4, ['203.0.113.10'])
})
