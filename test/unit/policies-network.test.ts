import { isIPv4 } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { compileNetworks, parseNetwork } from '../../policies/network.ts'

t.test('addresses and networks of both families are read', async (t) => {
  const cases: [source: string, address: string, prefix: number][] = [
    ['192.0.2.7', '192.0.2.7', 32],
    ['10.0.0.0/8', '10.0.0.0', 8],
    ['0.0.0.0/0', '0.0.0.0', 0],
    ['2001:DB8:0:0::/32', '2001:db8::', 32],
    ['::1', '::1', 128],
    ['::/0', '::', 0],
    ['2001:db8:8000::/33', '2001:db8:8000::', 33],
  ]
  for (const [source, address, prefix] of cases) t.match(parseNetwork(source), { address, prefix }, source)
})

t.test('what is none is refused with what to write', async (t) => {
  const cases: [source: string, message: RegExp][] = [
    ['', /neither an address nor a network/],
    ['10.0.0', /neither/],
    ['10.0.0.0/', /neither/],
    ['10.0.0.0/8/8', /neither/],
    ['10.0.0.0/-1', /neither/],
    ['example.com', /neither/],
    ['fe80::1%eth0', /neither/],
    ['300.1.1.1', /neither/],
    ['010.0.0.1', /neither/],
    ['10.0.0.0/33', /`\/33` is too long: an IPv4 network has 32 bits/],
    ['::/129', /IPv6 network has 128 bits/],
    ['10.1.2.3/8', /names a host within a network: write `10\.0\.0\.0\/8`/],
    ['2001:db8::1/32', /write `2001:db8::\/32`/],
    ['::ffff:192.0.2.7', /write `192\.0\.2\.7`, as IPv4/],
  ]
  for (const [source, message] of cases) t.match(parseNetwork(source), message, source)
})

t.test('addresses are found in their networks, mapped ones as IPv4', async (t) => {
  const networks = compileNetworks(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', 'nonsense'])
  for (const address of ['10.1.2.3', '192.0.2.7', '2001:db8:ffff::1', '::ffff:10.9.9.9']) {
    t.ok(networks.has(address), address)
  }
  for (const address of [
    '11.0.0.1',
    '192.0.2.8',
    '2001:db9::1',
    '::ffff:11.0.0.1',
    '',
    'x',
    '10.1',
    'fe80::1%lo',
  ]) {
    t.notOk(networks.has(address), address)
  }
  t.notOk(compileNetworks([]).has('10.0.0.1'))
  t.notOk(compileNetworks(['::/0']).has('10.0.0.1'), 'an IPv6 network holds no IPv4 address')
  t.notOk(compileNetworks(['0.0.0.0/0']).has('2001:db8::1'))
})

t.test(
  'the network that is offered for an address with a prefix is taken, and holds the address',
  async (t) => {
    const network = fc.oneof(
      fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })),
      fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 })),
    )
    t.doesNotThrow(() =>
      fc.assert(
        fc.property(network, ([address, prefix]) => {
          const source = `${address}/${prefix}`
          const first = parseNetwork(source)
          const offered = typeof first === 'string' ? /write `(\S+)`$/.exec(first)?.[1] : source
          // IPv4-mapped addresses are sent to IPv4 instead.
          if (offered === undefined) return !isIPv4(address)
          return typeof parseNetwork(offered) !== 'string' && compileNetworks([offered]).has(address)
        }),
        { numRuns: 2000 },
      ),
    )
  },
)

t.test('any text is either a network or told what is wrong', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        const network = parseNetwork(text)
        compileNetworks([text]).has(text)
        return typeof network !== 'string' || network.length > 0
      }),
      { numRuns: 2000 },
    ),
  )
})
