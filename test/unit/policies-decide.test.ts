import fc from 'fast-check'
import t, { type Test } from 'tap'
import { decide } from '../../policies/decide.ts'
import type { Decision, Seen } from '../../policies/decision.ts'
import { loadPolicy, type Policy } from '../../policies/policy.ts'
import { RULE_IDS } from '../../policies/rule-ids.ts'
import type { RulesInForce } from '../../policies/rules.ts'
import { shippedDirectory } from '../../policies/shipped.ts'

const NAMES = ['observe', 'standard', 'strict', 'lockdown'] as const
const OWN = Object.freeze(['rpc.example.org', '198.51.100.7', '2001:db8::7'])
const ELSEWHERE = { address: '192.0.2.80', port: 443 }

const load = (name: string): RulesInForce => ({
  ...loadPolicy({ dir: shippedDirectory, name }),
  ownHosts: OWN,
})
const shipped = Object.fromEntries(NAMES.map((name) => [name, load(name)])) as Record<
  (typeof NAMES)[number],
  RulesInForce
>

type Sight = Partial<Seen> & Pick<Seen, 'protocol'>

const see = (rules: RulesInForce, seen: Sight): Decision =>
  decide(rules, { destinationIsProvider: false, destination: ELSEWHERE, ...seen })

type Changes = {
  readonly [Part in 'enforcement' | 'proxy' | 'traffic']?: Partial<Policy[Part]>
}

/** The shipped policy with some settings changed. */
function changed(name: (typeof NAMES)[number], changes: Changes): RulesInForce {
  const rules = shipped[name]
  const { enforcement, proxy, traffic } = rules.policy
  const policy: Policy = {
    ...rules.policy,
    name: 'mine',
    enforcement: { ...enforcement, ...changes.enforcement },
    proxy: { ...proxy, ...changes.proxy },
    traffic: { ...traffic, ...changes.traffic },
  }
  return { ...rules, policy }
}

/** What each shipped policy does with one sight: action and rule without the policy's name. */
function table(t: Test, rows: [what: string, seen: Sight, ...outcomes: string[]][]): void {
  for (const [what, seen, ...outcomes] of rows) {
    const found = NAMES.map((name) => {
      const decision = see(shipped[name], seen)
      t.match(decision.rule, `${name}/`, what)
      return `${decision.action} ${decision.rule.slice(name.length + 1)}`
    })
    t.strictSame(found, outcomes.length === 1 ? NAMES.map(() => outcomes[0]) : outcomes, what)
  }
}

t.test(
  'a governed name is intercepted under every policy, whatever address, protocol, case or ECH',
  async (t) => {
    for (const name of NAMES) {
      for (const destinationIsProvider of [true, false]) {
        for (const protocol of ['tls', 'http'] as const) {
          for (const ech of [true, false]) {
            const seen = { protocol, name: 'API.OpenAI.com.', ech, destinationIsProvider }
            const decision = see(shipped[name], seen)
            t.match(decision, { action: 'intercept', rule: `${name}/governed-name`, name: 'api.openai.com' })
            t.equal(decision.provider?.id, 'openai')
            t.notOk(decision.pinned || decision.flags)
          }
        }
      }
    }
  },
)

t.test('another name is spliced, also towards an address that a provider shares', async (t) => {
  const everywhere = ['splice other-name', 'splice other-name', 'splice other-name', 'refuse traffic-default']
  for (const destinationIsProvider of [true, false]) {
    table(t, [
      ['TLS', { protocol: 'tls', name: 'Example.com', destinationIsProvider }, ...everywhere],
      ['HTTP', { protocol: 'http', name: 'example.com', destinationIsProvider }, ...everywhere],
      [
        'a look-alike',
        { protocol: 'tls', name: 'evil-api.openai.com.attacker.net', destinationIsProvider },
        ...everywhere,
      ],
    ])
  }
  t.equal(see(shipped.standard, { protocol: 'tls', name: 'Example.com' }).name, 'example.com')
})

t.test(
  'another name towards a provider’s address leads to the name’s own, unless nothing is refused',
  async (t) => {
    for (const protocol of ['tls', 'http'] as const) {
      const seen = (destinationIsProvider: boolean) => ({
        protocol,
        name: 'example.com',
        destinationIsProvider,
      })
      t.equal(see(shipped.standard, seen(true)).pinned, true)
      t.equal(see(shipped.strict, seen(true)).pinned, true)
      t.notOk('pinned' in see(shipped.standard, seen(false)))
      t.notOk('pinned' in see(shipped.observe, seen(true)))
    }
  },
)

const HIDDEN: [what: string, rule: string, seen: Sight][] = [
  ['no SNI', 'no-name', { protocol: 'tls' }],
  ['no Host', 'no-name', { protocol: 'http' }],
  ['an empty name', 'no-name', { protocol: 'tls', name: '' }],
  ['an IPv4 literal', 'no-name', { protocol: 'tls', name: '192.0.2.7' }],
  ['an IPv6 literal', 'no-name', { protocol: 'http', name: '[2001:db8::1]' }],
  ['an IPv6 literal, bare', 'no-name', { protocol: 'tls', name: '2001:db8::1' }],
  ['a name that is none', 'no-name', { protocol: 'tls', name: 'api.openai.com\0.example.com' }],
  ['an over-long name', 'no-name', { protocol: 'tls', name: `${'a.'.repeat(200)}com` }],
  ['another protocol', 'other-protocol', { protocol: 'other' }],
  ['HTTP/2 without TLS', 'h2-prior-knowledge', { protocol: 'h2-preface' }],
  ['silence', 'silent', { protocol: 'silent' }],
]

t.test('what hides its name or its protocol is refused towards a provider, but under observe', async (t) => {
  for (const [what, id, seen] of HIDDEN) {
    const refused = `refuse ${id}-provider-address`
    table(t, [
      [
        what,
        { ...seen, destinationIsProvider: true },
        `splice ${id}-provider-address`,
        refused,
        refused,
        refused,
      ],
    ])
    const { reason } = see(shipped.standard, { ...seen, destinationIsProvider: true })
    t.match(reason, /towards an address of an LLM provider/, what)
  }
})

t.test('elsewhere it is spliced, and refused under strict and lockdown', async (t) => {
  for (const [what, id, seen] of HIDDEN) {
    table(t, [[what, seen, `splice ${id}`, `splice ${id}`, `refuse ${id}`, `refuse ${id}`]])
    t.notOk('reason' in see(shipped.standard, seen), what)
    t.ok(see(shipped.strict, seen).reason, what)
  }
})

t.test('an encrypted name counts towards a provider, and elsewhere is a browser’s dummy', async (t) => {
  const seen = { protocol: 'tls', name: 'cloudflare-ech.com', ech: true } as const
  const refused = 'refuse encrypted-name-provider-address'
  table(t, [
    ['elsewhere', seen, ...Array(3).fill('splice encrypted-name'), 'refuse traffic-default'],
    [
      'towards a provider',
      { ...seen, destinationIsProvider: true },
      'splice encrypted-name-provider-address',
      refused,
      refused,
      refused,
    ],
  ])
  t.match(see(shipped.standard, { ...seen, destinationIsProvider: true }), { name: 'cloudflare-ech.com' })
  t.test('it does not get round what is said of unknown names', async (t) => {
    t.match(see(changed('standard', { proxy: { unknownName: 'refuse' } }), seen), { rule: 'mine/other-name' })
    t.match(see(changed('standard', { proxy: { unknownName: 'intercept' } }), seen), { action: 'intercept' })
  })
})

t.test('a governed name over plain HTTP or HTTP/2 without TLS follows its settings', async (t) => {
  const strict = changed('standard', { proxy: { plainHttp: 'refuse' } })
  t.match(see(strict, { protocol: 'http', name: 'api.openai.com' }), {
    action: 'refuse',
    rule: 'mine/plain-http',
    provider: { id: 'openai' },
    reason: /api\.openai\.com without TLS/,
  })
  t.match(see(strict, { protocol: 'tls', name: 'api.openai.com' }), { action: 'intercept' })
  const refused = 'refuse h2-governed-name'
  table(t, [
    [
      'HTTP/2',
      { protocol: 'h2-preface', name: 'api.openai.com' },
      'splice h2-governed-name',
      refused,
      refused,
      refused,
    ],
  ])
})

t.test('a tunnel is looked into, or refused, and a governed name in it never passes', async (t) => {
  const connect: Sight = { protocol: 'http', method: 'CONNECT', target: 'x:443', name: 'x.example' }
  const cut = 'refuse tunnel-governed-name'
  const outcomes = ['inspect tunnel', 'inspect tunnel', 'refuse tunnel', 'refuse tunnel']
  table(t, [
    ['CONNECT', { ...connect, tunnelTarget: 'x.example' }, ...outcomes],
    ['CONNECT to an address', { ...connect, tunnelTarget: '192.0.2.9' }, ...outcomes],
    ['CONNECT in small letters', { ...connect, method: 'connect' }, ...outcomes],
    [
      'BIND of SOCKS',
      { protocol: 'socks', tunnelTarget: '192.0.2.9', tunnelBlind: 'BIND' },
      'splice tunnel-blind',
      'refuse tunnel-blind',
      'refuse tunnel',
      'refuse tunnel',
    ],
    [
      'CONNECT to a provider’s address as the proxy',
      { ...connect, tunnelTarget: 'x.example', destinationIsProvider: true },
      'inspect tunnel',
      'refuse other-protocol-provider-address',
      'refuse tunnel',
      'refuse tunnel',
    ],
    ['SOCKS', { protocol: 'socks' }, ...outcomes],
    [
      'CONNECT to a provider',
      { ...connect, tunnelTarget: 'API.openai.com.' },
      'splice tunnel-governed-name',
      cut,
      cut,
      cut,
    ],
    [
      'SOCKS to a provider',
      { protocol: 'socks', tunnelTarget: 'api.anthropic.com' },
      'splice tunnel-governed-name',
      cut,
      cut,
      cut,
    ],
  ])
  for (const protocol of ['tls', 'http', 'h2-preface'] as const) {
    const inside = see(shipped.standard, { protocol, name: 'api.openai.com', inTunnel: true })
    t.match(inside, {
      action: 'refuse',
      rule: 'standard/tunnel-governed-name',
      provider: { id: 'openai' },
      flags: ['tunnelled-provider'],
    })
  }
  t.match(see(shipped.observe, { protocol: 'tls', name: 'api.openai.com', inTunnel: true }), {
    action: 'splice',
    rule: 'observe/tunnel-governed-name',
    flags: ['tunnelled-provider'],
  })
  t.match(see(shipped.standard, { protocol: 'tls', name: 'example.com', inTunnel: true }), {
    action: 'splice',
  })
  t.match(see(shipped.standard, { protocol: 'socks', destinationIsProvider: true }), {
    action: 'refuse',
    rule: 'standard/other-protocol-provider-address',
  })
})

t.test('within a tunnel nothing is intercepted', async (t) => {
  const curious = changed('standard', { proxy: { unknownName: 'intercept' } })
  t.match(see(curious, { protocol: 'tls', name: 'example.com', inTunnel: true }), { action: 'splice' })
  const call = { protocol: 'http', name: 'x.example', method: 'POST', target: '/v1/messages' } as const
  t.match(see(shipped.standard, { ...call, inTunnel: true }), {
    action: 'refuse',
    rule: 'standard/unlisted-call',
  })
  t.match(see(shipped.observe, { ...call, inTunnel: true }), { action: 'splice', flags: ['unlisted-host'] })
})

const call: Sight = { protocol: 'http', name: 'llm.example', method: 'POST', target: '/v1/chat/completions' }

t.test('an LLM-shaped call to a host in no catalogue is recorded and flagged', async (t) => {
  const recorded = 'intercept unlisted-call'
  table(t, [
    ['by name', call, recorded, recorded, recorded, 'refuse traffic-default'],
    ['by number', { ...call, name: '192.0.2.80' }, recorded, recorded, 'refuse no-name', 'refuse no-name'],
  ])
  const decision = see(shipped.standard, call)
  t.match(decision, {
    name: 'llm.example',
    flags: ['unlisted-host'],
    provider: { id: 'unlisted', style: 'openai-chat', keepBodies: true },
  })
  t.ok((decision.provider?.paths?.length ?? 0) > 10, 'other requests on the connection are not recorded')
  t.equal(see(shipped.standard, { ...call, name: '192.0.2.80' }).name, ELSEWHERE.address)
  t.match(see(shipped.standard, { ...call, target: '/index.html' }), { rule: 'standard/other-name' })
  t.match(see(shipped.standard, { ...call, method: 'GET' }), { rule: 'standard/other-name' })
  t.test('or refused, or passed, if the policy says so', async (t) => {
    t.match(see(changed('standard', { proxy: { unlistedCalls: 'refuse' } }), call), {
      action: 'refuse',
      rule: 'mine/unlisted-call',
      flags: ['unlisted-host'],
      reason: /llm\.example/,
    })
    t.match(see(changed('standard', { proxy: { unlistedCalls: 'pass' } }), call), { rule: 'mine/other-name' })
  })
  t.match(
    see(shipped.standard, { ...call, name: '', destinationIsProvider: true }),
    { action: 'refuse', rule: 'standard/no-name-provider-address' },
    'without a name towards a provider it is refused all the same',
  )
})

t.test('all TLS but exceptions can be intercepted', async (t) => {
  const rules = changed('strict', {
    proxy: { unknownName: 'intercept', exceptions: ['bank.example', '**.bank.example'] },
  })
  t.match(see(rules, { protocol: 'tls', name: 'news.example' }), {
    action: 'intercept',
    rule: 'mine/other-name-intercepted',
    provider: { id: 'unlisted', style: 'opaque' },
    name: 'news.example',
    flags: ['unlisted-host'],
  })
  for (const name of ['bank.example', 'WWW.bank.example.', 'a.b.bank.example']) {
    t.match(see(rules, { protocol: 'tls', name }), { action: 'splice', rule: 'mine/exception' })
  }
  t.match(see(rules, { protocol: 'http', name: 'news.example', method: 'GET', target: '/' }), {
    action: 'splice',
    rule: 'mine/other-name',
  })
  t.match(see(rules, { protocol: 'tls', name: 'api.openai.com' }), { rule: 'mine/governed-name' })
})

t.test('DNS services are refused by name, address and port where the policy says so', async (t) => {
  const at = (address: string, port = 443): Sight => ({
    protocol: 'tls',
    name: 'example.com',
    destination: { address, port },
  })
  const through = ['splice other-name', 'splice other-name']
  const refused = ['refuse resolver', 'refuse resolver']
  table(t, [
    ['by name', { protocol: 'tls', name: 'Mozilla.Cloudflare-DNS.com' }, ...through, ...refused],
    ['by address', at('8.8.8.8'), ...through, ...refused],
    ['by IPv6 address', at('2606:4700:4700::1111'), ...through, ...refused],
    ['by port', at('192.0.2.1', 853), ...through, ...refused],
    ['without a name', { ...at('1.1.1.1'), name: '' }, 'splice no-name', 'splice no-name', ...refused],
    [
      'in another protocol',
      { protocol: 'other', destination: { address: '9.9.9.9', port: 443 } },
      'splice other-protocol',
      'splice other-protocol',
      ...refused,
    ],
  ])
  t.match(
    see(shipped.strict, { ...at('8.8.8.8'), name: 'api.openai.com' }),
    { action: 'intercept' },
    'a governed name goes to its own address in any case',
  )
})

t.test(
  'the gateway’s own hosts are reached under every policy, by name only at their own address',
  async (t) => {
    const rpc: Sight = { protocol: 'tls', name: 'rpc.example.org' }
    table(t, [
      ['by name', rpc, 'splice own-host'],
      [
        'by address',
        { protocol: 'silent', destination: { address: '198.51.100.7', port: 1 } },
        'splice own-host',
      ],
      [
        'by IPv6 address',
        { protocol: 'http', name: '[2001:db8::7]', destination: { address: '2001:db8::7', port: 8545 } },
        'splice own-host',
      ],
    ])
    t.equal(see(shipped.lockdown, rpc).pinned, true)
    t.match(see(shipped.lockdown, { ...rpc, inTunnel: true }), { action: 'refuse' })
    t.match(see(shipped.lockdown, { ...rpc, ech: true, destinationIsProvider: true }), { action: 'refuse' })
  },
)

const allow = (rule: object) => ({
  traffic: { default: 'block' as const, rules: [{ name: 'mine', action: 'allow' as const, ...rule }] },
})

t.test('an allow by name binds the connection to the name’s own address', async (t) => {
  const byName = changed('lockdown', allow({ hosts: ['packages.example.org'] }))
  t.match(see(byName, { protocol: 'tls', name: 'packages.example.org' }), { action: 'splice', pinned: true })
  t.match(see(byName, { protocol: 'tls', name: 'example.com' }), { rule: 'mine/traffic-default' })
  t.match(see(byName, { ...call, name: 'packages.example.org' }), { action: 'intercept', pinned: true })
  const byBoth = changed('lockdown', allow({ hosts: ['packages.example.org'], addresses: ['192.0.2.0/24'] }))
  t.notOk('pinned' in see(byBoth, { protocol: 'tls', name: 'packages.example.org' }))
  t.notOk(
    'pinned' in see(changed('lockdown', allow({ ports: [443] })), { protocol: 'tls', name: 'a.example' }),
  )
})

t.test('an allow by address opens it also for what shows no name, never towards a provider', async (t) => {
  const rules = changed('lockdown', allow({ addresses: ['192.0.2.80'], ports: [22] }))
  const ssh: Sight = { protocol: 'silent', destination: { address: '192.0.2.80', port: 22 } }
  t.match(see(rules, ssh), { action: 'splice', rule: 'mine/traffic/mine' })
  t.match(see(rules, { ...ssh, protocol: 'other' }), { action: 'splice', rule: 'mine/traffic/mine' })
  t.match(see(rules, { ...ssh, destination: { address: '192.0.2.80', port: 23 } }), { rule: 'mine/silent' })
  t.match(see(rules, { ...ssh, destinationIsProvider: true }), { rule: 'mine/silent-provider-address' })
})

t.test('a name told to somebody’s proxy allows nothing', async (t) => {
  const connect: Sight = {
    protocol: 'http',
    method: 'CONNECT',
    target: 'packages.example.org:443',
    name: 'packages.example.org',
    tunnelTarget: 'packages.example.org',
  }
  const rules = changed('lockdown', {
    ...allow({ hosts: ['packages.example.org'] }),
    proxy: { tunnel: 'inspect' },
  })
  t.match(see(rules, connect), { action: 'refuse', rule: 'mine/traffic-default' })
  t.match(see(rules, { protocol: 'tls', name: 'packages.example.org', inTunnel: true }), { action: 'refuse' })
  const way = changed('lockdown', { ...allow({ addresses: ['192.0.2.80'] }), proxy: { tunnel: 'inspect' } })
  t.match(see(way, connect), { action: 'inspect', rule: 'mine/tunnel' })
})

t.test('a block names its rule, with what is known of the call', async (t) => {
  const rules = changed('standard', {
    traffic: { default: 'allow', rules: [{ name: 'no-groq', action: 'block', providers: ['groq'] }] },
  })
  t.match(see(rules, { protocol: 'tls', name: 'api.groq.com' }), {
    action: 'refuse',
    rule: 'mine/traffic/no-groq',
    name: 'api.groq.com',
    provider: { id: 'groq' },
    reason: /no-groq/,
  })
  t.match(see(rules, { protocol: 'tls', name: 'api.openai.com' }), { action: 'intercept' })
})

t.test('a local LLM is captured over HTTP and otherwise left alone', async (t) => {
  const local = [{ port: 11434, provider: 'ollama' }]
  const destination = { address: '127.0.0.1', port: 11434 }
  for (const name of ['standard', 'lockdown'] as const) {
    const rules = changed(name, { enforcement: { local } })
    t.match(see(rules, { protocol: 'http', name: 'localhost', destination }), {
      action: 'intercept',
      rule: 'mine/local',
      provider: { id: 'ollama' },
      name: 'localhost',
      flags: ['local'],
    })
    t.equal(see(rules, { protocol: 'http', destination: { ...destination, address: '::1' } }).name, '::1')
    for (const protocol of ['tls', 'other', 'silent', 'h2-preface', 'socks'] as const) {
      t.match(see(rules, { protocol, destination }), { action: 'splice', rule: 'mine/local' })
    }
  }
  const elsewhere = {
    protocol: 'http',
    name: 'x.example',
    destination: { address: '192.0.2.1', port: 11434 },
  } as const
  t.match(see(changed('standard', { enforcement: { local } }), elsewhere), { rule: 'mine/other-name' })
  const ownAddress = { ...elsewhere, destinationIsOwn: true }
  t.match(see(changed('standard', { enforcement: { local } }), ownAddress), {
    action: 'intercept',
    rule: 'mine/local',
    name: 'x.example',
  })
  const blocked = changed('standard', {
    enforcement: { local },
    traffic: { default: 'allow', rules: [{ name: 'none', action: 'block', providers: ['ollama'] }] },
  })
  t.match(see(blocked, { protocol: 'http', destination }), { action: 'refuse', rule: 'mine/traffic/none' })
})

t.test('a decision is plain data and the same each time', async (t) => {
  for (const name of NAMES) {
    const seen = { protocol: 'tls', name: 'api.anthropic.com' } as const
    const decision = see(shipped[name], seen)
    t.strictSame(structuredClone(decision), JSON.parse(JSON.stringify(decision)))
    t.strictSame(see(structuredClone(shipped[name]), seen), decision)
  }
})

const names = fc.oneof(
  fc.constantFrom(
    'api.openai.com',
    'dns.google',
    'example.com',
    'rpc.example.org',
    'x.openai.azure.com',
    '8.8.8.8',
  ),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.domain(),
)
const targets = fc.oneof(
  fc.constantFrom('/v1/chat/completions', '/v1/messages', '*', '', 'api.openai.com:443'),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.webPath(),
)
const sights: fc.Arbitrary<Seen> = fc.record(
  {
    protocol: fc.constantFrom('tls', 'http', 'h2-preface', 'socks', 'other', 'silent'),
    destinationIsProvider: fc.boolean(),
    destination: fc.record({
      address: fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('127.0.0.1', '::1', '8.8.8.8')),
      port: fc.oneof(fc.constantFrom(53, 80, 443, 853, 11434), fc.integer({ min: 0, max: 65535 })),
    }),
    name: names,
    ech: fc.boolean(),
    uid: fc.nat(),
    method: fc.oneof(fc.constantFrom('GET', 'POST', 'CONNECT', 'connect'), fc.string({ maxLength: 20 })),
    target: targets,
    tunnelTarget: names,
    tunnelBlind: fc.constantFrom('BIND', 'UDP ASSOCIATE'),
    inTunnel: fc.boolean(),
  },
  { requiredKeys: ['protocol', 'destinationIsProvider', 'destination'] },
)

t.test('whatever is seen, a decision is made, under a rule that is documented', async (t) => {
  const known = new Set<string>(RULE_IDS)
  const own = changed('lockdown', {
    enforcement: { local: [{ port: 11434, provider: 'ollama' }] },
    proxy: { unknownName: 'intercept', tunnel: 'inspect', exceptions: ['**.example.com'] },
    traffic: {
      default: 'block',
      rules: [
        { name: 'some', action: 'allow', hosts: ['**.com'], users: [0, 1000] },
        { name: 'nobody', action: 'block', users: [0] },
        { name: 'net', action: 'allow', addresses: ['0.0.0.0/1', '::/1'] },
      ],
    },
  })
  const policies = [...Object.values(shipped), own]
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.constantFrom(...policies), sights, (rules, seen) => {
        const decision = decide(rules, seen)
        const [policy, ...rest] = decision.rule.split('/')
        const id = rest.join('/')
        if (policy !== rules.policy.name) throw new Error(decision.rule)
        if (!known.has(id) && !/^traffic\/(?:some|nobody|net|providers)$/.test(id))
          throw new Error(decision.rule)
        if (decision.action === 'intercept' && (!decision.provider || !decision.name))
          throw new Error('of whom?')
        if ((decision.action === 'refuse') !== (decision.reason !== undefined)) throw new Error('why?')
        if (seen.inTunnel && decision.action === 'intercept') throw new Error('within a tunnel')
      }),
      { numRuns: 3000 },
    ),
  )
})

t.test('no sight gets a governed name past standard, strict or lockdown unrecorded', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.constantFrom('standard', 'strict', 'lockdown'), sights, (name, seen) => {
        if (!['tls', 'http', 'h2-preface'].includes(seen.protocol)) return
        const { action } = decide(shipped[name], { ...seen, name: 'api.openai.com' })
        if (seen.method?.toUpperCase() === 'CONNECT' && seen.protocol === 'http') {
          if (action === 'splice' || action === 'intercept') throw new Error(action)
        } else if (action !== 'intercept' && action !== 'refuse') throw new Error(action)
      }),
      { numRuns: 3000 },
    ),
  )
})

t.test('observe refuses nothing', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(sights, (seen) => decide(shipped.observe, seen).action !== 'refuse'),
      { numRuns: 3000 },
    ),
  )
})

t.test('lockdown lets only governed calls and own hosts pass', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(sights, (seen) => {
        const { action, rule, provider } = decide(shipped.lockdown, seen)
        if (action === 'refuse' || rule === 'lockdown/own-host') return true
        return action === 'intercept' && provider !== undefined && provider.id !== 'unlisted'
      }),
      { numRuns: 3000 },
    ),
  )
})
