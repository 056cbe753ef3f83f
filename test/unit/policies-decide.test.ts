import t from 'tap'
import { type Decision, decide, type Seen } from '../../policies/decide.ts'
import { loadPolicy, type Policy } from '../../policies/policy.ts'
import { shippedDirectory } from '../../policies/shipped.ts'

const { policy, catalogue } = loadPolicy({ dir: shippedDirectory, name: 'standard' })

const at = (destinationIsProvider: boolean, seen: Omit<Seen, 'destinationIsProvider'>): Decision =>
  decide(policy, catalogue, { ...seen, destinationIsProvider })

t.test('a governed name is intercepted, whatever address, protocol, case or ECH', async (t) => {
  for (const destinationIsProvider of [true, false]) {
    for (const protocol of ['tls', 'http'] as const) {
      for (const ech of [true, false]) {
        const decision = at(destinationIsProvider, { protocol, name: 'API.OpenAI.com.', ech })
        t.match(decision, { action: 'intercept', rule: 'standard/governed-name', name: 'api.openai.com' })
        t.equal(decision.provider?.id, 'openai')
      }
    }
  }
})

t.test('another name is spliced, also towards an address that a provider shares', async (t) => {
  for (const address of [true, false]) {
    t.strictSame(at(address, { protocol: 'tls', name: 'Example.com' }), {
      action: 'splice',
      rule: 'standard/other-name',
      name: 'example.com',
    })
  }
  t.equal(at(true, { protocol: 'tls', name: 'evil-api.openai.com.attacker.net' }).action, 'splice')
})

t.test(
  'what hides its name or its protocol is refused towards a provider and spliced elsewhere',
  async (t) => {
    const hidden: [what: string, rule: string, seen: Omit<Seen, 'destinationIsProvider'>][] = [
      ['no SNI', 'no-name', { protocol: 'tls' }],
      ['no Host', 'no-name', { protocol: 'http' }],
      ['an empty name', 'no-name', { protocol: 'tls', name: '' }],
      ['an IPv4 literal', 'no-name', { protocol: 'tls', name: '192.0.2.7' }],
      ['an IPv6 literal', 'no-name', { protocol: 'http', name: '[2001:db8::1]' }],
      ['an IPv6 literal, bare', 'no-name', { protocol: 'tls', name: '2001:db8::1' }],
      ['a name that is none', 'no-name', { protocol: 'tls', name: 'api.openai.com\0.example.com' }],
      ['an over-long name', 'no-name', { protocol: 'tls', name: `${'a.'.repeat(200)}com` }],
      ['another protocol', 'other-protocol', { protocol: 'other' }],
      ['silence', 'silent', { protocol: 'silent' }],
      ['an encrypted name', 'encrypted-name', { protocol: 'tls', name: 'cloudflare-ech.com', ech: true }],
    ]
    for (const [what, rule, seen] of hidden) {
      const refused = at(true, seen)
      t.match(refused, { action: 'refuse', rule: `standard/${rule}-provider-address` }, what)
      t.match(refused.reason, /towards an address of an LLM provider/, what)
      const spliced = at(false, seen)
      t.match(spliced, { action: 'splice', rule: `standard/${rule}` }, what)
      t.notOk('reason' in spliced, what)
    }
  },
)

t.test('the settings of a policy decide, and its name stands before the rule', async (t) => {
  const strict: Policy = {
    ...policy,
    name: 'mine',
    proxy: {
      ...policy.proxy,
      unknownName: 'refuse',
      silent: { providerAddress: 'splice', otherAddress: 'refuse' },
    },
  }
  const seen = { protocol: 'tls', name: 'example.com', destinationIsProvider: false } as const
  t.match(decide(strict, catalogue, seen), {
    action: 'refuse',
    rule: 'mine/other-name',
    reason: /example\.com/,
  })
  t.match(decide(strict, catalogue, { protocol: 'silent', destinationIsProvider: true }), {
    action: 'splice',
    rule: 'mine/silent-provider-address',
  })
  t.match(decide(strict, catalogue, { protocol: 'silent', destinationIsProvider: false }), {
    action: 'refuse',
    rule: 'mine/silent',
    reason: 'nothing was sent',
  })
})

t.test('a decision is plain data and the same each time', async (t) => {
  const seen = { protocol: 'tls', name: 'api.anthropic.com', destinationIsProvider: true } as const
  const decision = decide(policy, catalogue, seen)
  t.strictSame(structuredClone(decision), JSON.parse(JSON.stringify(decision)))
  t.strictSame(decide(structuredClone(policy), structuredClone(catalogue), seen), decision)
})
