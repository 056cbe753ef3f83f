import fc from 'fast-check'
import t from 'tap'
import { type Observed, type Sighting, Tally } from '../../daemon/sensor/tally.ts'

const refused = (more: Partial<Observed> = {}): Observed => ({
  kind: 'refused',
  rule: 'udp',
  protocol: 'udp',
  uid: 4001,
  destination: { address: '203.0.113.10', port: 443 },
  via: 'kernel',
  ...more,
})

function tallied(now = 0) {
  const told: Sighting[] = []
  return { told, tally: new Tally((sighting) => told.push(sighting), now) }
}

t.test('tells the first at once and the rest as a count every ten seconds', async (t) => {
  const { told, tally } = tallied()
  const client = { address: '192.0.2.2', port: 1 }
  for (let at = 0; at < 5; at += 1) tally.see(refused({ client }), 100 + at)
  t.match(told, [{ count: 1, from: 100, to: 100, client, together: false }])
  tally.flush(9000)
  t.equal(told.length, 1)
  tally.flush(10_000)
  t.match(told[1], { count: 4, from: 101, to: 104 })
  t.notOk(told[1] && 'client' in told[1], 'the client is the first one’s alone')
  tally.flush(20_000)
  t.equal(told.length, 2, 'nothing new, nothing said')
  tally.flush(71_000)
  tally.see(refused(), 71_001)
  t.match(told[2], { count: 1, from: 71_001 }, 'after a minute it is new again')
})

t.test('a name that shows later goes with the next count; leaks are told apart by it', async (t) => {
  const { told, tally } = tallied()
  tally.see(refused(), 0)
  t.ok(tally.wantsName(refused()))
  tally.see(refused({ serverName: 'api.openai.com' }), 1)
  t.notOk(tally.wantsName(refused()))
  tally.flush(10_000)
  t.match(told[1], { count: 1, serverName: 'api.openai.com' })
  tally.see(refused({ kind: 'leak', serverName: 'a.example' }), 10_001)
  tally.see(refused({ kind: 'leak', serverName: 'b.example' }), 10_001)
  t.equal(told.length, 4)
})

t.test('senders without a user are told apart by their addresses', async (t) => {
  const { told, tally } = tallied()
  const from = (address: string, port: number) => {
    const { uid: _, ...rest } = refused({ client: { address, port } })
    tally.see(rest, port)
  }
  for (let port = 1; port <= 3; port += 1) for (const host of [2, 3]) from(`172.17.0.${host}`, port)
  tally.flush(10_000)
  t.match(
    told.map(({ client, count }) => ({ ...client, count })),
    [2, 3]
      .map((host) => ({ address: `172.17.0.${host}`, port: 1, count: 1 }))
      .concat([2, 3].map((host) => ({ address: `172.17.0.${host}`, port: 0, count: 2 }))),
  )
})

t.test('forged addresses take nobody else’s room', async (t) => {
  const { told, tally } = tallied()
  for (let number = 0; number < 12_000; number += 1) {
    const { uid: _, ...rest } = refused({
      client: { address: `10.1.${number % 3}.${number % 100}`, port: 1 },
      destination: { address: '203.0.113.10', port: 1 + Math.floor(number / 300) },
    })
    tally.see(rest, 0)
  }
  t.ok(told.length < 2100, `${told.length}`)
  tally.see(refused(), 1)
  t.match(told.at(-1), { uid: 4001, count: 1, together: false })
  tally.flush(2, true)
  t.equal(
    told.reduce((sum, { count }) => sum + count, 0),
    12_001,
  )
})

t.test('who sends everywhere is counted together, and hides nobody else', async (t) => {
  const { told, tally } = tallied()
  for (let port = 1; port <= 5000; port += 1) {
    tally.see(refused({ destination: { address: '2001:db8::1', port } }), 0)
  }
  t.equal(told.length, 32)
  tally.see(refused({ uid: 4002 }), 1)
  t.match(told.at(-1), { uid: 4002, count: 1, together: false })
  tally.flush(2, true)
  t.match(told.at(-1), {
    uid: 4001,
    rule: 'udp',
    count: 5000 - 32,
    together: true,
    destination: { address: '::', port: 0 },
  })
  for (let port = 1; port <= 100; port += 1)
    tally.see(refused({ destination: { address: '2001:db8::2', port } }), 1000)
  t.equal(
    told.filter(({ destination }) => destination.address === '2001:db8::2').length,
    4,
    'four more in a second',
  )
})

t.test('the counts add up, whatever comes and whenever it is told', async () => {
  const kind = fc.record({
    rule: fc.constantFrom('tcp', 'udp'),
    uid: fc.nat(3000),
    port: fc.nat(60_000),
    name: fc.option(fc.constantFrom('a.example', 'b.example'), { nil: undefined }),
    wait: fc.nat(3000),
  })
  fc.assert(
    fc.property(fc.array(kind, { maxLength: 400 }), (packets) => {
      const { told, tally } = tallied()
      let now = 0
      for (const { rule, uid, port, name, wait } of packets) {
        now += wait
        const observed = refused({ rule, uid, destination: { address: '203.0.113.1', port } })
        tally.see(name === undefined ? observed : { ...observed, serverName: name }, now)
        tally.flush(now)
      }
      tally.flush(now, true)
      const sum = (wanted: string) =>
        told.filter(({ rule }) => rule === wanted).reduce((total, { count }) => total + count, 0)
      return ['tcp', 'udp'].every((rule) => sum(rule) === packets.filter((each) => each.rule === rule).length)
    }),
  )
})

t.test('past every bound there is still an exact sum', async (t) => {
  const { told, tally } = tallied()
  for (let uid = 0; uid < 200; uid += 1) {
    for (let port = 1; port <= 32; port += 1)
      tally.see(refused({ uid, destination: { address: '203.0.113.1', port } }), 0)
  }
  t.equal(told.length, 4096, 'kinds told apart')
  for (let uid = 1000; uid < 20_000; uid += 1) tally.see(refused({ uid }), 0)
  tally.flush(1, true)
  t.equal(
    told.reduce((sum, { count }) => sum + count, 0),
    200 * 32 + 19_000,
  )
  t.ok(told.some(({ together, protocol }) => together && protocol === 'any'))
})
