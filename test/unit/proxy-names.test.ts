/** Which addresses are a name's, and which is dialled. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { canonicalAddress, isDialable } from '../../daemon/proxy/names/addresses.ts'
import { watchCatalogue } from '../../daemon/proxy/names/catalogue-watch.ts'
import { Directory, type DirectoryOptions } from '../../daemon/proxy/names/directory.ts'
import { HostsFile, parseHosts } from '../../daemon/proxy/names/hosts-file.ts'
import { OwnAddresses } from '../../daemon/proxy/names/own-addresses.ts'

t.test('an address has one spelling', async (t) => {
  t.equal(canonicalAddress('::FFFF:1.2.3.4'), '1.2.3.4')
  t.equal(canonicalAddress('2001:DB8:0:0::1'), '2001:db8::1')
  t.equal(canonicalAddress('1.2.3.4'), '1.2.3.4')
  for (const bad of ['', 'x', '1.2.3', 'fe80::1%eth0', '01.2.3.4'])
    t.equal(canonicalAddress(bad), undefined, bad)
})

t.test('addresses that no provider has are never dialled', async (t) => {
  for (const bad of [
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '169.254.169.254',
    '224.0.0.1',
    '255.255.255.255',
    '100.100.100.200',
    '::1',
    '::',
    'fe80::1',
    'ff02::1',
    'fd00:ec2::254',
    'fd20:ce::254',
    '168.63.129.16',
    '192.0.0.192',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b::7f00:1',
    '64:ff9b::1',
    '2002:a9fe:a9fe::1',
    '2002:7f00:1::',
    '::7f00:1',
  ]) {
    t.notOk(isDialable(bad), bad)
  }
  for (const good of ['1.1.1.1', '10.0.0.8', '2606:4700::1', '64:ff9b::101:101', 'fd00::1'])
    t.ok(isDialable(good), good)
})

t.test('reads hosts files, again when they change', async (t) => {
  t.same(
    [...parseHosts('# c\n10.0.0.1 A.example b # x\n\n::1 a.example.\nbad c\n10.0.0.1 a.example\n')],
    [
      ['a.example', ['10.0.0.1', '::1']],
      ['b', ['10.0.0.1']],
    ],
  )
  const path = join(t.testdir(), 'hosts')
  t.same(new HostsFile(path).addresses('x'), [])
  writeFileSync(path, '10.0.0.1 x\n')
  const file = new HostsFile(path)
  t.same(file.addresses('x'), ['10.0.0.1'])
  writeFileSync(path, '10.0.0.22 x\n')
  await new Promise((resolve) => setTimeout(resolve, 1050))
  t.same(file.addresses('x'), ['10.0.0.22'])
})

function directory(overrides: Partial<DirectoryOptions> = {}) {
  const state = {
    time: 1000,
    asked: 0,
    learned: [] as string[],
    answer: ['1.0.0.1', '1.0.0.2', '2001:db8::1'] as string[] | Error,
  }
  const made = new Directory({
    dns: async () => {
      state.asked += 1
      if (state.answer instanceof Error) throw state.answer
      return { addresses: state.answer, ttl: 30 }
    },
    hosts: () => [],
    fixed: new Map([['fixed.example', ['127.0.0.1']]]),
    learned: (_name, addresses) => void state.learned.push(...addresses),
    clock: () => state.time,
    ...overrides,
  })
  return { made, state }
}

t.test(
  'dials where the agent meant to if that is the name’s, else the name’s own of the same family first',
  async (t) => {
    const { made } = directory()
    t.same(await made.route('x.example', '1.0.0.2'), {
      addresses: ['1.0.0.2', '1.0.0.1', '2001:db8::1'],
      mismatch: false,
    })
    t.same(await made.route('x.example', '2001:db8::1'), {
      addresses: ['2001:db8::1', '1.0.0.1', '1.0.0.2'],
      mismatch: false,
    })
    t.same(await made.route('x.example', '9.9.9.9'), {
      addresses: ['1.0.0.1', '1.0.0.2', '2001:db8::1'],
      mismatch: true,
    })
    t.same(await made.route('x.example', '2001:db8::9'), {
      addresses: ['2001:db8::1', '1.0.0.1', '1.0.0.2'],
      mismatch: true,
    })
    t.same(await made.route('fixed.example', '9.9.9.9'), { addresses: ['127.0.0.1'], mismatch: true })
  },
)

t.test(
  'asks once for many, again after the answer’s time, remembers rotated addresses, tells what it learned',
  async (t) => {
    const { made, state } = directory()
    await Promise.all([made.route('x.example', '1.0.0.1'), made.route('x.example', '1.0.0.2')])
    t.equal(state.asked, 1)
    await made.route('x.example', '1.0.0.1')
    t.equal(state.asked, 1)
    t.same(state.learned, ['1.0.0.1', '1.0.0.2', '2001:db8::1'])
    state.time += 31_000
    state.answer = ['1.0.0.3']
    t.same(
      (await made.route('x.example', '1.0.0.1')).addresses[0],
      '1.0.0.1',
      'at once, and looked up beside',
    )
    t.equal(state.asked, 2)
    t.same(await made.route('x.example', '1.0.0.2'), { addresses: ['1.0.0.2', '1.0.0.3'], mismatch: false })
    t.equal(state.asked, 2)
    state.time += 3_700_000
    t.same(await made.route('x.example', '1.0.0.2'), { addresses: ['1.0.0.3'], mismatch: true })
  },
)

t.test('an unknown address asks again, but not without bound', async (t) => {
  const { made, state } = directory()
  await made.route('x.example', '1.0.0.1')
  for (let i = 0; i < 10; i++) await made.route('x.example', '9.9.9.9')
  t.equal(state.asked, 1)
  state.time += 1500
  await made.route('x.example', '9.9.9.9')
  t.equal(state.asked, 2)
})

t.test('serves from an expired answer while DNS fails, and says so when there is none', async (t) => {
  const { made, state } = directory()
  await made.route('x.example', '1.0.0.1')
  state.answer = new Error('ESERVFAIL')
  state.time += 60_000
  t.same((await made.route('x.example', '9.9.9.9')).addresses[0], '1.0.0.1')
  await t.rejects(made.route('y.example', '9.9.9.9'), { code: 'upstream_unresolved', message: /ESERVFAIL/ })
  state.answer = ['127.0.0.1', '::ffff:169.254.169.254']
  await t.rejects(made.route('z.example', '127.0.0.1'), { code: 'upstream_unresolved' })
})

t.test('the hosts file comes before DNS, within the same bounds', async (t) => {
  const { made, state } = directory({
    hosts: (name) => (name === 'x.example' ? ['10.9.9.9'] : ['127.0.0.1']),
  })
  t.same(await made.route('x.example', '10.9.9.9'), { addresses: ['10.9.9.9'], mismatch: false })
  t.equal(state.asked, 0)
  await t.rejects(made.route('y.example', '127.0.0.1'), { code: 'upstream_unresolved' })
})

t.test('looks a catalogue up, a few names at a time, whatever fails', async (t) => {
  const names = Array.from({ length: 40 }, (_, i) => `n${i}`)
  const seen: string[] = []
  let under = 0
  let most = 0
  const watch = watchCatalogue(names, async (name) => {
    most = Math.max(most, ++under)
    await new Promise((resolve) => setTimeout(resolve, 2))
    under -= 1
    seen.push(name)
    if (name === 'n3') throw new Error('NXDOMAIN')
  })
  await watch.first
  watch.stop()
  t.same(seen.sort(), names.sort())
  t.equal(most, 8)
})

const silent = (name: string) => Promise.reject(new Error(name, { cause: { code: 'ECONNREFUSED' } }))
const absent = (name: string) =>
  Promise.reject(new Error(name, { cause: Object.assign(new Error(), { code: 'ENOTFOUND' }) }))
const HOURS = 3_600_000
const until = async (holds: () => boolean) => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1))
}

t.test('names that nobody answers for are asked about again soon, until somebody does', async (t) => {
  const names = Array.from({ length: 40 }, (_, i) => `n${i}`)
  let dead = true
  let asked = 0
  const known = new Set<string>()
  const told: boolean[] = []
  const watch = watchCatalogue(
    names,
    async (name) => {
      asked += 1
      if (dead) return silent(name)
      known.add(name)
    },
    (answered) => void told.push(answered),
    { intervalMs: HOURS, soonMs: 1, latestMs: 4 },
  )
  t.teardown(() => watch.stop())
  await watch.first
  t.ok(asked < 16, 'the others would hear the same')
  await until(() => asked >= 80)
  t.same(told, [false], 'said once')
  dead = false
  await until(() => known.size === names.length && told.length === 2)
  t.same(told, [false, true])
})

t.test(
  'a change of the network is no time to wait, and that there is no such name is an answer',
  async (t) => {
    const names = ['a', 'b', 'c']
    const asked: string[] = []
    const told: boolean[] = []
    let dead = true
    const pace = { intervalMs: HOURS, soonMs: HOURS, latestMs: HOURS }
    const resolve = (name: string) => {
      asked.push(name)
      if (name === 'a') return absent(name)
      return name === 'b' && dead ? silent(name) : Promise.resolve()
    }
    const watch = watchCatalogue(names, resolve, (answered) => void told.push(answered), pace)
    t.teardown(() => watch.stop())
    await watch.first
    t.same(told, [true])
    dead = false
    watch.again()
    await new Promise((resolve) => setImmediate(resolve))
    t.same(asked.sort(), ['a', 'b', 'b', 'c'], 'only what had no answer')
    watch.again()
    t.equal(asked.length, 4, 'nothing is left to ask')
    watch.names(['a', 'd'])
    await new Promise((resolve) => setImmediate(resolve))
    t.same(asked.slice(4).sort(), ['a', 'd'])
    t.same(told, [true])
  },
)

t.test('one name that never resolves keeps the others from nothing', async (t) => {
  let fine = 0
  const watch = watchCatalogue(
    ['dead', 'fine'],
    async (name) => {
      if (name === 'dead') return silent(name)
      fine += 1
    },
    (answered) => t.ok(answered),
    { intervalMs: 20, soonMs: 1, latestMs: 2 },
  )
  await until(() => fine === 3)
  watch.stop()
})

t.test(
  'this machine’s own addresses are never dialled, also those that it got since the look-up',
  async (t) => {
    const own = new Set(['1.0.0.1'])
    const { made, state } = directory({ isOwn: (address) => own.has(address) })
    t.same(await made.route('x.example', '1.0.0.1'), {
      addresses: ['1.0.0.2', '2001:db8::1'],
      mismatch: true,
    })
    t.notOk(state.learned.includes('1.0.0.1'), 'and are no provider’s')
    own.add('1.0.0.2').add('2001:db8::1')
    await t.rejects(made.route('x.example', '1.0.0.2'), { code: 'upstream_unresolved' })
  },
)

t.test('knows this machine’s addresses, looked up again after a second', async (t) => {
  let time = 0
  let all = ['192.0.2.7', '::ffff:192.0.2.8', '2001:DB8::7', 'fe80::1%eth0']
  const own = new OwnAddresses(
    () => all,
    () => time,
  )
  for (const address of ['192.0.2.7', '192.0.2.8', '2001:db8::7']) t.ok(own.has(address), address)
  all = ['192.0.2.9']
  t.notOk(own.has('192.0.2.9'))
  time = 1000
  t.ok(own.has('192.0.2.9'))
  t.notOk(own.has('192.0.2.7'))
  t.ok(new OwnAddresses().has('127.0.0.1'), 'by itself it asks the system')
})
