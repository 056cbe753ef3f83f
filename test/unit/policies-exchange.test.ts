/** First match over what is known: what may wait, what is decided at once, and what doubt does. */
import fc from 'fast-check'
import t from 'tap'
import type { BodyFacts, ExchangeFacts } from '../../policies/exchange-facts.ts'
import { asksOfRequests, judgeRecord, judgeRequest } from '../../policies/exchange-rules.ts'
import { type Identity, isNamed, nameOf } from '../../policies/named-agents.ts'
import { loadPolicy, type Policy } from '../../policies/policy.ts'
import { BodyContent } from '../../policies/request-content.ts'
import { shippedDirectory } from '../../policies/shipped.ts'
import { judge, mayBeReached } from '../../policies/traffic.ts'
import { all, any } from '../../policies/truth.ts'

const { policy: standard, catalogue } = loadPolicy({ dir: shippedDirectory, name: 'standard' })
type TrafficRule = Policy['traffic']['rules'][number]
type RecordsRule = Policy['records']['rules'][number]

const policyOf = (
  rules: Omit<TrafficRule, 'name'>[],
  more: Partial<Policy> = {},
  fallback: 'allow' | 'block' = 'allow',
): Policy => ({
  ...standard,
  traffic: { default: fallback, rules: rules.map((rule, i) => ({ ...rule, name: `r${i}` })) },
  ...more,
})

const read = (body: unknown): BodyFacts => {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  return { state: 'read', size: bytes.length, content: new BodyContent(bytes) }
}
const AWAITED: BodyFacts = { state: 'awaited' }
const UNREADABLE: BodyFacts = { state: 'unreadable', why: 'too long', size: 20 << 20, whole: false }
const KEY = `sk-proj-${'aB3xY9kQ'.repeat(6)}`

const factsOf = (over: Partial<ExchangeFacts> = {}): ExchangeFacts => ({
  name: 'api.openai.com',
  provider: 'openai',
  address: '192.0.2.1',
  port: 443,
  agent: { uid: 1000, cgroup: '/user.slice' },
  agentPending: false,
  method: 'POST',
  target: '/v1/chat/completions',
  operations: ['chat'],
  pathModels: [],
  body: read({ model: 'gpt-5', messages: [{ role: 'user', content: 'hello' }] }),
  ...over,
})

const ruling = (policy: Policy, over: Partial<ExchangeFacts> = {}): string => {
  const verdict = judgeRequest(policy, factsOf(over))
  if ('wait' in verdict) return `wait ${verdict.wait}`
  return [verdict.action, verdict.rule ?? 'default', ...(verdict.unknown ?? [])].join(' ')
}

t.test('each condition asks what it says', async (t) => {
  const cases: [Omit<TrafficRule, 'name' | 'action'>, Partial<ExchangeFacts>, Partial<ExchangeFacts>][] = [
    [{ methods: ['POST'] }, {}, { method: 'GET' }],
    [{ methods: ['DELETE'] }, { overrides: ['delete'] }, { overrides: ['GET'] }],
    [{ paths: ['/v1/chat/*'] }, {}, { target: '/v1/models' }],
    [{ paths: ['/v1/files'] }, { target: '/v1/x/%2e%2e/FILES?a=1' }, {}],
    [{ operations: ['chat'] }, {}, { operations: [] }],
    [{ operations: ['chat'] }, { operations: ['embeddings', 'chat'] }, { operations: ['embeddings'] }],
    [{ tools: ['google_search'] }, { body: read({ tools: [{ googleSearch: { a: 1 } }] }) }, {}],
    [{ models: ['gpt-5*'] }, {}, { body: read({ model: 'gpt-4o' }) }],
    [{ models: ['gemini-*'] }, { pathModels: ['gemini-3'], body: read({}) }, { pathModels: ['gemma'] }],
    [{ tools: ['shell'] }, { body: read({ tools: [{ name: 'read' }, { name: 'Shell' }] }) }, {}],
    [{ content: ['secrets'] }, { body: read({ a: [KEY] }) }, {}],
    [{ largerThan: 10 }, {}, { body: read('{}') }],
    [{ providers: ['*'] }, {}, { provider: 'unlisted' }],
    [{ hosts: ['*.openai.com'] }, {}, { name: 'api.groq.com' }],
    [{ ports: [443], addresses: ['192.0.2.0/24'] }, {}, { address: '198.51.100.1' }],
    [{ users: [1000] }, {}, { agent: { uid: 0 } }],
  ]
  for (const [condition, yes, no] of cases) {
    const policy = policyOf([{ action: 'block', ...condition }])
    t.equal(ruling(policy, yes), 'block r0', JSON.stringify(condition))
    t.equal(ruling(policy, no), 'allow default', JSON.stringify(condition))
  }
})

t.test('the first rule that matches decides, also over one about the connection alone', async (t) => {
  const policy = policyOf(
    [
      { action: 'allow', models: ['gpt-5'] },
      { action: 'block', providers: ['openai'] },
      { action: 'allow', providers: ['*'] },
    ],
    {},
    'block',
  )
  t.equal(ruling(policy), 'allow r0')
  t.equal(ruling(policy, { body: read({ model: 'o3' }) }), 'block r1')
  t.equal(ruling(policy, { provider: 'groq', body: read({ model: 'o3' }) }), 'allow r2')
  t.equal(ruling(policy, { provider: 'unlisted', body: read({ model: 'o3' }) }), 'block default')
})

t.test('of several models or tools one is enough to block, and all must be allowed', async (t) => {
  const both = read('{"model":"gpt-5","model":"o3","tools":[{"name":"read"},{"name":"shell"}]}')
  for (const condition of [{ models: ['gpt-5'] }, { tools: ['shell'] }]) {
    t.equal(ruling(policyOf([{ action: 'block', ...condition }]), { body: both }), 'block r0')
    t.equal(
      ruling(policyOf([{ action: 'allow', ...condition }], {}, 'block'), { body: both }),
      'block default',
    )
  }
  const all = { models: ['gpt-5', 'o3'], tools: ['read', 'shell'] }
  t.equal(ruling(policyOf([{ action: 'allow', ...all }], {}, 'block'), { body: both }), 'allow r0')
})

t.test('the path’s model and the body’s both count', async (t) => {
  const over = { pathModels: ['gpt-4o'], body: read({ model: 'o3' }) }
  t.equal(ruling(policyOf([{ action: 'block', models: ['o3'] }]), over), 'block r0')
  t.equal(ruling(policyOf([{ action: 'block', models: ['gpt-4o'] }]), over), 'block r0')
  t.equal(ruling(policyOf([{ action: 'allow', models: ['o3'] }], {}, 'block'), over), 'block default')
})

t.test('nothing waits for a body that can’t change the verdict', async (t) => {
  const policy = policyOf([
    { action: 'block', providers: ['groq'], content: ['secrets'] },
    { action: 'block', paths: ['/v1/files'] },
    { action: 'redact', content: ['email'] },
  ])
  t.equal(ruling(policy, { body: AWAITED, target: '/v1/files' }), 'block r1')
  t.equal(ruling(policy, { body: AWAITED }), 'wait body')
  t.equal(ruling(policy, { body: { state: 'awaited', declared: 0 } }), 'allow default')
  const large = policyOf([{ action: 'block', largerThan: 100 }])
  t.equal(ruling(large, { body: { state: 'awaited', declared: 101 } }), 'block r0')
  t.equal(ruling(large, { body: { state: 'awaited', declared: 100 } }), 'allow default')
  t.equal(ruling(large, { body: AWAITED }), 'wait body')
  t.equal(ruling(large, { body: UNREADABLE }), 'block r0', 'so much is certain')
})

t.test(
  'what can’t be told blocks, or is passed over where the rule says so, and allows nobody',
  async (t) => {
    for (const condition of [{ models: ['x'] }, { tools: ['x'] }, { content: ['email'] }] as const) {
      const [key] = Object.keys(condition)
      t.equal(ruling(policyOf([{ action: 'block', ...condition }]), { body: UNREADABLE }), `block r0 ${key}`)
      const passing = policyOf([{ action: 'block', ...condition, cannotTell: 'pass' }])
      t.equal(ruling(passing, { body: UNREADABLE }), 'allow default')
      const allowing = policyOf([{ action: 'allow', ...condition }], {}, 'block')
      t.equal(ruling(allowing, { body: UNREADABLE }), 'block default')
    }
    t.equal(ruling(policyOf([{ action: 'block', models: ['x'] }]), { body: read('--x') }), 'block r0 models')
    t.equal(ruling(policyOf([{ action: 'block', users: [7] }]), { agent: {} }), 'block r0 users')
    t.equal(ruling(policyOf([{ action: 'allow', users: [7] }], {}, 'block'), { agent: {} }), 'block default')
  },
)

t.test('what is found is replaced, unless it is signed or no JSON: then the rule’s word holds', async (t) => {
  const body = read({ a: KEY })
  const rule = { action: 'redact' as const, content: ['secrets'] }
  t.match(judgeRequest(policyOf([rule]), factsOf({ body })), {
    action: 'redact',
    rule: 'r0',
    found: ['openai-key'],
  })
  t.equal(ruling(policyOf([rule])), 'allow default')
  t.equal(ruling(policyOf([rule]), { body, fixed: 'it is signed' }), 'block r0 it is signed')
  t.equal(ruling(policyOf([rule]), { fixed: 'it is signed' }), 'allow default', 'with nothing to replace')
  t.equal(
    ruling(policyOf([{ ...rule, cannotTell: 'pass' }]), { body, fixed: 'it is signed' }),
    'allow default',
  )
  t.equal(ruling(policyOf([rule]), { body: read(`key=${KEY}`) }), 'block r0 not JSON')
  const wide = new BodyContent(Buffer.from(JSON.stringify({ a: KEY }), 'utf16le'))
  t.equal(
    ruling(policyOf([rule]), { body: { state: 'read', size: 99, content: wide } }),
    'block r0 JSON that is not in UTF-8',
  )
})

t.test('agents are named by what the kernel says; what isn’t known is neither', async (t) => {
  const SHA = 'ab'.repeat(32)
  const agents = [
    { name: 'builder', users: [1000], units: ['agent-*.service'] },
    { name: 'builder', containers: ['docker:abc*'] },
    { name: 'tool', sha256: [SHA] },
    { name: 'tool', executables: ['/usr/bin/claude'] },
    { name: 'group', groups: [50] },
  ]
  const is = (name: string, identity: Identity, extent: 'every' | 'some' = 'every', pending = false) =>
    isNamed(agents, name, identity, pending, extent)
  t.equal(is('builder', { uid: 1000, cgroup: '/x', unit: 'agent-7.service' }), 'yes')
  t.equal(is('builder', { uid: 1000, cgroup: '/x' }), 'no', 'in no unit')
  t.equal(is('builder', { uid: 1000 }), 'unknown')
  t.equal(is('builder', { uid: 1000 }, 'every', true), 'awaited')
  t.equal(is('builder', { cgroup: '/x', container: 'docker:abcdef' }), 'yes')
  t.equal(is('group', { gid: 50 }), 'yes')
  const one = { executable: '/usr/bin/claude', sha256: SHA }
  const two = { executable: '/bin/sh', sha256: 'cd'.repeat(32) }
  t.equal(is('tool', { processes: [one] }), 'yes')
  t.equal(is('tool', { processes: [one, two] }), 'no', 'a socket shared with another program')
  t.equal(is('tool', { processes: [one, two] }, 'some'), 'yes')
  t.equal(is('tool', { processes: [one], more: 1 }), 'unknown')
  t.equal(is('tool', { processes: [] }), 'unknown')
  t.equal(is('nobody', { uid: 1000 }), 'no')
  t.equal(nameOf(agents, { gid: 50, processes: [one] }), 'tool', 'the first that certainly is')
  t.equal(nameOf(agents, { uid: 1000 }), undefined)

  const policy = policyOf([{ action: 'block', agents: ['tool'] }], { agents })
  t.equal(ruling(policy, { agent: { processes: [two] } }), 'allow default')
  t.equal(ruling(policy, { agent: { processes: [one] } }), 'block r0')
  t.equal(ruling(policy, { agent: {}, agentPending: true }), 'wait agent')
  t.equal(ruling(policy, { agent: {} }), 'block r0 agents')
})

t.test('connections are let through to be read only where a request might be allowed', async (t) => {
  const flow = { name: 'api.openai.com', provider: 'openai', address: '192.0.2.1', port: 443, uid: 1 }
  const allows = (policy: Policy, isRead: boolean) =>
    judge(policy, catalogue, { ...flow, ...(isRead && { read: true }) }).allows
  const allow = policyOf([{ action: 'allow', models: ['x'] }], {}, 'block')
  t.equal(allows(allow, true), true)
  t.equal(allows(allow, false), false, 'what is passed on unread is not allowed by it')
  t.equal(allows(policyOf([{ action: 'redact', content: ['email'] }], {}, 'block'), true), true)
  t.equal(allows(policyOf([{ action: 'block', models: ['x'] }]), true), true)
  t.equal(allows(policyOf([{ action: 'block', content: ['email'] }]), false), true, 'nor blocked')
  t.equal(allows(policyOf([{ action: 'block', models: ['x'] }, { action: 'block' }]), true), false)
  t.equal(mayBeReached(allow, catalogue, 'api.openai.com'), true)
  t.equal(mayBeReached(policyOf([{ action: 'block', models: ['x'] }]), catalogue, 'api.openai.com'), true)
  t.equal(asksOfRequests(allow), true)
  t.equal(asksOfRequests(policyOf([{ action: 'block', users: [1] }])), false)
})

t.test('the first rule of `records` decides; in doubt less is kept, and nothing discarded', async (t) => {
  const recorded = (rules: Omit<RecordsRule, 'name'>[], over: Partial<ExchangeFacts> = {}) => {
    const records = {
      default: 'anchor' as const,
      rules: rules.map((rule, i) => ({ ...rule, name: `r${i}` })),
    }
    const { action, rule } = judgeRecord({ ...standard, records }, factsOf(over))
    return `${action} ${rule ?? 'default'}`
  }
  t.equal(recorded([]), 'anchor default')
  t.equal(recorded([{ action: 'keep', models: ['gpt-5'] }, { action: 'discard' }]), 'keep r0')
  t.equal(recorded([{ action: 'metadata-only', users: [1] }, { action: 'discard' }]), 'discard r1')
  for (const [action, wanted] of [
    ['anchor', 'anchor default'],
    ['metadata-only', 'metadata-only r0'],
    ['discard', 'anchor default'],
  ] as const) {
    t.equal(recorded([{ action, models: ['x'] }], { body: UNREADABLE }), wanted)
    t.equal(recorded([{ action, users: [7] }], { agent: {} }), wanted)
  }
  t.equal(recorded([{ action: 'redact', content: ['email'] }]), 'redact r0', 'the answer may hold one')
  t.equal(recorded([{ action: 'redact', content: ['email'], models: ['o3'] }]), 'anchor default')
})

t.test('what fails decides over what isn’t known, and what holds does where one is enough', async (t) => {
  t.equal(all(['unknown', 'no']), 'no')
  t.equal(all(['awaited', 'no']), 'no')
  t.equal(all(['unknown', 'awaited', 'yes']), 'awaited')
  t.equal(all(['yes', 'unknown']), 'unknown')
  t.equal(all([]), 'yes')
  t.equal(any(['unknown', 'yes']), 'yes')
  t.equal(any(['awaited', 'yes']), 'yes')
  t.equal(any(['unknown', 'awaited', 'no']), 'awaited')
  t.equal(any(['no', 'unknown']), 'unknown')
  t.equal(any([]), 'no')
  const policy = policyOf([{ action: 'block', users: [7], models: ['x'] }])
  t.equal(
    ruling(policy, { agent: {} }),
    'allow default',
    'who it is doesn’t matter where the model isn’t the rule’s',
  )
})

const conditionOf = fc.record(
  {
    methods: fc.constantFrom(['GET'], ['POST']),
    models: fc.constantFrom(['gpt-*'], ['o3'], ['*']),
    tools: fc.constantFrom(['shell'], ['*']),
    content: fc.constantFrom(['secrets'], ['email']),
    users: fc.constantFrom([1000], [7]),
    agents: fc.constantFrom(['a'], ['b']),
    largerThan: fc.constantFrom(0, 50, 1e6),
  },
  { requiredKeys: [] },
)
const ruleOf = fc
  .tuple(conditionOf, fc.constantFrom('allow', 'block', 'redact'), fc.constantFrom('block', 'pass'))
  .map(
    ([condition, action, cannotTell]): Omit<TrafficRule, 'name'> => ({
      ...condition,
      action,
      ...(action === 'redact' && { content: condition.content ?? ['secrets'] }),
      ...(action !== 'allow' && { cannotTell }),
    }),
  )
const bodyOf = fc.constantFrom<BodyFacts>(
  read(''),
  read({ model: 'gpt-5' }),
  read({ model: 'o3', tools: [{ name: 'shell' }], a: KEY }),
  read({ a: 'x@y.example' }),
  read('text'),
  UNREADABLE,
)
const identityOf = fc.constantFrom<Identity>(
  {},
  { uid: 1000 },
  { uid: 7, processes: [{ executable: '/a' }] },
  { uid: 7, processes: [{ executable: '/b' }, { executable: '/a' }] },
)
const named = {
  agents: [
    { name: 'a', executables: ['/a'] },
    { name: 'b', executables: ['/b'] },
  ],
}

t.test('a verdict before all is known is the one there would be with all known', async (t) => {
  let early = 0
  fc.assert(
    fc.property(fc.array(ruleOf, { maxLength: 5 }), bodyOf, identityOf, (rules, body, agent) => {
      const policy = policyOf(rules, named)
      const late = judgeRequest(policy, factsOf({ body, agent }))
      const declared = body.state === 'read' ? body.size : undefined
      for (const over of [
        { body: AWAITED, agent: { ...(agent.uid !== undefined && { uid: agent.uid }) }, agentPending: true },
        { body: AWAITED, agent },
        { body: { state: 'awaited', declared } as const, agent },
        { body, agent: {}, agentPending: true },
      ]) {
        const now = judgeRequest(policy, factsOf(over))
        if ('wait' in now) continue
        early++
        if ('wait' in late || now.action !== late.action || now.rule !== late.rule) return false
      }
      return !('wait' in late)
    }),
    { numRuns: 5000 },
  )
  t.ok(early > 1000, `${early} were decided early`)
})

t.test(
  'rules behind the one that decides change nothing, nor do those before it that don’t match',
  async (_t) => {
    fc.assert(
      fc.property(
        fc.array(ruleOf, { maxLength: 4 }),
        fc.array(ruleOf, { maxLength: 3 }),
        bodyOf,
        identityOf,
        (rules, later, body, agent) => {
          const facts = factsOf({ body, agent })
          const first = judgeRequest(policyOf(rules, named), facts)
          if ('wait' in first || first.rule === undefined) return true
          const with_ = judgeRequest(policyOf([...rules, ...later], named), facts)
          const index = Number(first.rule.slice(1))
          const alone = judgeRequest(policyOf([rules[index]!], named), facts)
          return (
            !('wait' in with_) &&
            with_.rule === first.rule &&
            !('wait' in alone) &&
            alone.action === first.action
          )
        },
      ),
      { numRuns: 5000 },
    )
  },
)
