import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type Enforcement, validateEnforcement } from '../../firewall/enforcement.ts'
import { FirewallError } from '../../firewall/errors.ts'

const plain: Enforcement = {
  fence: 'providers',
  redirect: 'ports',
  subjects: 'everyone',
  exempt: { uids: [], gids: [], cgroups: [] },
  allowed: [],
  localPorts: [],
  dnsLogGroup: 72,
  resolversRefused: false,
  uplinks: ['eth0'],
  leaseMs: 10_000,
  proxyUids: [1002],
  ports: [80, 443],
  addresses4: ['203.0.113.10'],
  addresses6: ['2001:db8::1'],
  bridges: ['docker0'],
  redirectPort: 18443,
  guardedPorts: [],
  logGroup: 71,
}
const refuses = (t: Test, change: object, field: RegExp) =>
  t.throws(() => validateEnforcement({ ...plain, ...change }), {
    code: 'invalid-enforcement',
    message: field,
  })

t.test('sorts, deduplicates and writes addresses in their canonical form', async (t) => {
  const e = validateEnforcement({
    ...plain,
    proxyUids: [2000, 999, 2000],
    ports: [443, 80, 443],
    addresses4: ['203.0.113.20', '203.0.113.10', '203.0.113.10'],
    addresses6: ['2001:0DB8:0::0001', '2001:db8::1', '2001:db8::'],
    guardedPorts: [
      { port: 9000, uids: [2, 1] },
      { port: 8000, uids: [] },
    ],
  })
  t.same(e.proxyUids, [999, 2000])
  t.same(e.ports, [80, 443])
  t.same(e.addresses4, ['203.0.113.10', '203.0.113.20'])
  t.same(e.addresses6, ['2001:db8::', '2001:db8::1'])
  t.same(e.guardedPorts, [
    { port: 8000, uids: [] },
    { port: 9000, uids: [1, 2] },
  ])
})

t.test('takes an address for the family that goes over the wire', async (t) => {
  const e = validateEnforcement({ ...plain, addresses4: [], addresses6: ['::ffff:203.0.113.9', '::1'] })
  t.same(e.addresses4, ['203.0.113.9'])
  t.same(e.addresses6, ['::1'])
})

t.test('leaves out an interface that a prefix covers', async (t) => {
  const { bridges } = validateEnforcement({
    ...plain,
    bridges: ['br-1', 'br-*', 'br-12*', 'docker0', 'br-*'],
  })
  t.same(bridges, ['br-*', 'docker0'])
})

t.test('refuses what is no address', async (t) => {
  for (const address of [
    '',
    '10.0.0.0/8',
    'fe80::1%eth0',
    'fe80::1%eth0; flush ruleset',
    '1.2.3',
    '01.2.3.4',
    'api.openai.com',
    '1.2.3.4 }',
    '::1\n',
  ]) {
    refuses(t, { addresses4: [address] }, /addresses/)
    refuses(t, { addresses6: [address] }, /addresses/)
  }
})

t.test('refuses what is no interface', async (t) => {
  for (const name of [
    '',
    '*',
    'eth0 }',
    'eth0"',
    'a'.repeat(16),
    'eth0\n',
    '../x',
    '@set',
    '-x',
    'br-**',
    'br*1',
  ]) {
    refuses(t, { bridges: [name] }, /bridges/)
  }
})

t.test('refuses numbers out of range', async (t) => {
  for (const port of [0, -1, 65536, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '80' as unknown as number]) {
    refuses(t, { ports: [port] }, /ports/)
    refuses(t, { redirectPort: port }, /redirectPort/)
    refuses(t, { guardedPorts: [{ port, uids: [] }] }, /guardedPorts/)
  }
  refuses(t, { proxyUids: [0xffff_ffff] }, /proxyUids/)
  refuses(t, { guardedPorts: [{ port: 1, uids: [-1] }] }, /guardedPorts/)
  refuses(t, { logGroup: 65536 }, /logGroup/)
  refuses(t, { dnsLogGroup: -1 }, /dnsLogGroup/)
  refuses(t, { leaseMs: 1 }, /leaseMs/)
  refuses(t, { fence: 'strict' }, /fence/)
  refuses(t, { redirect: 'some' }, /redirect/)
})

t.test('refuses control groups and devices that nft would read as something else', async (t) => {
  for (const cgroup of ['', '../x', 'a/../b', 'a"', 'a b', 'a\n', `${'a'.repeat(1100)}`]) {
    refuses(t, { exempt: { uids: [], gids: [], cgroups: [cgroup] } }, /exempt|cgroup/)
    refuses(t, { subjects: { uids: [], gids: [], cgroups: [cgroup] } }, /subjects|cgroup/)
  }
  for (const device of ['', 'a"', 'a b', 'a/b', '..', 'x'.repeat(16)]) {
    refuses(t, { uplinks: [device] }, /uplinks/)
  }
})

t.test('refuses ports that would shadow one another', async (t) => {
  refuses(t, { redirectPort: 443 }, /redirectPort/)
  refuses(t, { guardedPorts: [{ port: 18443, uids: [] }] }, /guardedPorts/)
  refuses(
    t,
    {
      guardedPorts: [
        { port: 7, uids: [] },
        { port: 7, uids: [1] },
      ],
    },
    /guardedPorts/,
  )
})

t.test(
  'lets no text through that is not an address or an interface, and fails in one way only',
  async (t) => {
    const property = fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
      try {
        const e = validateEnforcement({ ...plain, addresses4: texts, bridges: texts })
        return [...e.addresses4, ...e.addresses6, ...e.bridges].every((text) =>
          /^[A-Za-z0-9_.:-]+\*?$/.test(text),
        )
      } catch (error) {
        return error instanceof FirewallError && error.remedy !== '' && error.message.length < 200
      }
    })
    t.doesNotThrow(() => fc.assert(property))
  },
)
