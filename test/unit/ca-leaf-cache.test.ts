import t from 'tap'
import { LeafCache } from '../../ca/leaf-cache.ts'

function fixture(options: { capacity?: number; lifetimeMs?: number; endsAt?: number } = {}) {
  const state = { now: 1_000_000, asked: [] as string[], fail: false }
  const cache = new LeafCache<string>({
    capacity: options.capacity ?? 10,
    renewBeforeMs: 100,
    now: () => state.now,
    async issue(name) {
      state.asked.push(name)
      if (state.fail) throw new Error('no authority')
      return {
        leaf: `${name}#${state.asked.length}`,
        notBefore: new Date(state.now - 500),
        notAfter: new Date(options.endsAt ?? state.now + (options.lifetimeMs ?? 1000)),
      }
    },
  })
  return { state, cache }
}

t.test('a name is issued once, also for those who ask at the same time', async (t) => {
  const { state, cache } = fixture()
  t.same(await Promise.all([cache.get('a'), cache.get('a')]), ['a#1', 'a#1'])
  t.equal(await cache.get('a'), 'a#1')
  t.same(state.asked, ['a'])
})

t.test('a leaf near its end is renewed in the background and served meanwhile', async (t) => {
  const { state, cache } = fixture()
  await cache.get('a')
  state.now += 901
  t.equal(await cache.get('a'), 'a#1')
  t.equal(await cache.get('a'), 'a#2')
  t.equal(state.asked.length, 2)
})

t.test('a leaf that ends with its authority is renewed once, not at each call', async (t) => {
  const { state, cache } = fixture({ endsAt: 1_000_050 })
  for (let call = 0; call < 10; call++) {
    await cache.get('a')
    await new Promise(setImmediate)
  }
  t.equal(state.asked.length, 2)
  cache.clear()
  t.equal(await cache.get('a'), 'a#3', 'another authority is asked again')
})

t.test('an expired leaf is never served', async (t) => {
  const { state, cache } = fixture()
  await cache.get('a')
  state.now += 1000
  t.equal(await cache.get('a'), 'a#2')
  state.now += 1000
  state.fail = true
  await t.rejects(cache.get('a'), { message: 'no authority' })
})

t.test('a leaf from before the clock was set back is not served while it is not valid yet', async (t) => {
  const { state, cache } = fixture()
  await cache.get('a')
  state.now -= 500
  t.equal(await cache.get('a'), 'a#1')
  state.now -= 1
  t.equal(await cache.get('a'), 'a#2')
  state.now -= 1000
  state.fail = true
  await t.rejects(cache.get('a'), { message: 'no authority' })
})

t.test('a renewal that fails leaves the old leaf in use and is tried again', async (t) => {
  const { state, cache } = fixture()
  await cache.get('a')
  state.now += 950
  state.fail = true
  t.equal(await cache.get('a'), 'a#1')
  await new Promise(setImmediate)
  t.equal(await cache.get('a'), 'a#1')
  await new Promise(setImmediate)
  t.equal(state.asked.length, 3)
})

t.test('a failure is not remembered', async (t) => {
  const { state, cache } = fixture()
  state.fail = true
  await t.rejects(cache.get('a'))
  t.equal(cache.size, 0)
  state.fail = false
  t.equal(await cache.get('a'), 'a#2')
})

t.test('made-up names push out the least recently used only', async (t) => {
  const { state, cache } = fixture({ capacity: 3 })
  await cache.get('kept')
  for (let each = 0; each < 50; each++) {
    await cache.get(`x${each}`)
    await cache.get('kept')
  }
  t.equal(cache.size, 3)
  t.equal(state.asked.filter((name) => name === 'kept').length, 1)
})

t.test('clear forgets all, so that a new authority takes effect', async (t) => {
  const { cache } = fixture()
  await cache.get('a')
  cache.clear()
  t.equal(await cache.get('a'), 'a#2')
})
