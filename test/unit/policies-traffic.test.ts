import fc from 'fast-check'
import t from 'tap'
import { loadPolicy, type Policy } from '../../policies/policy.ts'
import { shippedDirectory } from '../../policies/shipped.ts'
import { type Flow, judge, mayBeReached } from '../../policies/traffic.ts'

const { policy: standard, catalogue } = loadPolicy({ dir: shippedDirectory, name: 'standard' })
const lockdown = loadPolicy({ dir: shippedDirectory, name: 'lockdown' }).policy

type TrafficRule = Policy['traffic']['rules'][number]
const withRules = (fallback: 'allow' | 'block', ...rules: Omit<TrafficRule, 'name'>[]): Policy => ({
  ...standard,
  traffic: { default: fallback, rules: rules.map((rule, i) => ({ ...rule, name: `r${i}` })) },
})

const flow: Flow = { name: 'api.groq.com', provider: 'groq', address: '192.0.2.1', port: 443, uid: 1000 }
const ruling = (policy: Policy, change: Partial<Flow> = {}) => {
  const { allows, rule } = judge(policy, catalogue, { ...flow, ...change })
  return `${allows ? 'allow' : 'block'} ${rule ?? 'default'}`
}

t.test('the first rule that matches decides, else the default', async (t) => {
  const policy = withRules(
    'block',
    { action: 'allow', providers: ['openai'] },
    { action: 'block', providers: ['groq'] },
    { action: 'allow', providers: ['*'] },
  )
  t.equal(ruling(policy, { provider: 'openai' }), 'allow r0')
  t.equal(ruling(policy), 'block r1')
  t.equal(ruling(policy, { provider: 'mistral' }), 'allow r2')
  t.equal(ruling(policy, { provider: 'unlisted' }), 'block default', 'only the catalogue’s')
  t.equal(ruling(withRules('allow')), 'allow default')
  t.equal(
    ruling(withRules('allow', { action: 'block' })),
    'block r0',
    'a rule without conditions matches all',
  )
})

t.test('all conditions of a rule must hold', async (t) => {
  const policy = withRules('block', {
    action: 'allow',
    hosts: ['**.groq.com'],
    addresses: ['192.0.2.0/24', '2001:db8::/32'],
    ports: [443, 8443],
    users: [1000],
  })
  t.equal(ruling(policy), 'allow r0')
  t.equal(ruling(policy, { address: '2001:db8::5', port: 8443 }), 'allow r0')
  for (const change of [{ name: 'groq.com' }, { address: '198.51.100.1' }, { port: 80 }, { uid: 0 }]) {
    t.equal(ruling(policy, change), 'block default', JSON.stringify(change))
  }
  const { name: _, ...nameless } = flow
  t.equal(judge(policy, catalogue, nameless).allows, false)
})

t.test('who cannot be told is nobody whom a rule allows and anybody whom it blocks', async (t) => {
  const { uid: _, ...unknown } = flow
  t.equal(judge(withRules('block', { action: 'allow', users: [1000] }), catalogue, unknown).allows, false)
  t.equal(judge(withRules('allow', { action: 'block', users: [1000] }), catalogue, unknown).allows, false)
  t.equal(ruling(withRules('allow', { action: 'block', users: [1000] }), { uid: 0 }), 'allow default')
})

t.test('names are not matched before the supervisor has put ids in their place', async (t) => {
  t.equal(ruling(withRules('block', { action: 'allow', users: ['alice'] })), 'block default')
})

t.test('hosts may be as broad as the administrator likes', async (t) => {
  const policy = withRules('block', { action: 'allow', hosts: ['**.internal', 'localhost', '*.de'] })
  for (const name of ['git.corp.internal', 'localhost', 'example.de'])
    t.equal(ruling(policy, { name }), 'allow r0')
  for (const name of ['internal', 'a.localhost', 'a.b.de']) t.equal(ruling(policy, { name }), 'block default')
})

t.test('names that nobody may reach are known', async (t) => {
  t.equal(mayBeReached(lockdown, catalogue, 'api.openai.com'), true)
  t.equal(mayBeReached(lockdown, catalogue, 'x.openai.azure.com'), true)
  t.equal(mayBeReached(lockdown, catalogue, 'secrets.attacker.example'), false)
  t.equal(mayBeReached(standard, catalogue, 'example.com'), true)
  const byAddress = withRules('block', { action: 'allow', addresses: ['10.0.0.0/8'] })
  t.equal(mayBeReached(byAddress, catalogue, 'example.com'), false, 'an address needs no name')
  const some = withRules('block', { action: 'allow', ports: [443], users: [0] })
  t.equal(mayBeReached(some, catalogue, 'example.com'), true, 'root may')
  const listed = withRules(
    'allow',
    { action: 'allow', hosts: ['ok.evil.example'] },
    { action: 'block', hosts: ['**.evil.example'] },
    { action: 'block', hosts: ['**.late.example'], users: [1000] },
  )
  t.equal(mayBeReached(listed, catalogue, 'ok.evil.example'), true)
  t.equal(mayBeReached(listed, catalogue, 'no.evil.example'), false)
  t.equal(mayBeReached(listed, catalogue, 'x.late.example'), true, 'others than that user may')
})

t.test('a name that some connection by name is let through to may be reached', async (t) => {
  const names = fc.constantFrom('api.openai.com', 'api.groq.com', 'a.example', 'b.a.example')
  const rule = fc.record(
    {
      action: fc.constantFrom('allow', 'block'),
      providers: fc.constantFrom(['*'], ['groq']),
      hosts: fc.constantFrom(['**.example'], ['a.example', 'api.groq.com']),
      ports: fc.constantFrom([443], [80, 443]),
      users: fc.constantFrom([0], [0, 1000]),
    },
    { requiredKeys: ['action'] },
  )
  const provider = (name: string) => ({ 'api.openai.com': 'openai', 'api.groq.com': 'groq' })[name]
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.constantFrom('allow', 'block'),
        fc.array(rule, { maxLength: 4 }),
        names,
        fc.constantFrom(80, 443, 22),
        fc.constantFrom(0, 1000, 2000),
        (fallback, rules, name, port, uid) => {
          const policy = withRules(fallback, ...rules)
          const id = provider(name)
          const seen = { name, address: '192.0.2.1', port, uid, ...(id !== undefined && { provider: id }) }
          return !judge(policy, catalogue, seen).allows || mayBeReached(policy, catalogue, name)
        },
      ),
      { numRuns: 2000 },
    ),
  )
})
