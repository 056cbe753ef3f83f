/** The requests that doctor makes up for the rules of a policy. */
import t from 'tap'
import { hostsToCall, type RuleCall, ruleCall } from '../../cli/doctor/rule-call.ts'
import { CANARY_NAME } from '../../daemon/supervisor/canary.ts'
import { freeze } from '../../policies/frozen.ts'
import { loadPolicy, type Rules } from '../../policies/policy.ts'
import { PolicySchema } from '../../policies/policy-schema.ts'
import { shippedDirectory } from '../../policies/shipped.ts'

const standard = loadPolicy({ dir: shippedDirectory, name: 'standard' })
const UID = 65_534

function rulesWith(...rules: object[]): Rules {
  const policy = PolicySchema.parse({
    ...{ apiVersion: 'agent-anchor/v1', kind: 'Policy', name: 'own' },
    traffic: { rules },
    detectors: [{ name: 'project', pattern: 'apollo-[0-9]+' }],
  })
  return { ...standard, policy: freeze({ ...policy, hash: '' }) }
}

/** For the last of these rules. */
function callFor(...rules: object[]): RuleCall | string {
  const all = rulesWith(...rules)
  const rule = all.policy.traffic.rules.at(-1)
  if (rule === undefined) throw new TypeError('no rule')
  return ruleCall(all, rule, UID, (host) =>
    host.endsWith('.x.ai') || host.endsWith('grok.com') ? undefined : '192.0.2.2',
  )
}
const block = (conditions: object) => ({ name: 'it', action: 'block', ...conditions })

t.test('each condition is met by a request to the canary, where a rule leaves it the choice', async (t) => {
  for (const [conditions, expected] of [
    [{}, {}],
    [{ providers: ['*'] }, {}],
    [{ models: ['gpt-*-mini'] }, { body: /"model":"gpt-x-mini"/ }],
    [{ tools: ['bash', 'python'] }, { body: /"tools":\[\{"name":"bash"\}\]/ }],
    [{ operations: ['embeddings'] }, { path: '/v1/embeddings' }],
    [
      { operations: ['generate_content'], models: ['gemini-2*'] },
      { path: /models\/gemini-2x:generateContent/ },
    ],
    [
      { paths: ['/**/files/*'], methods: ['PUT'] },
      { method: 'PUT', path: '/files/x' },
    ],
    [{ content: ['secrets', 'iban'] }, { body: /sk-Canary.*GB82/ }],
    [{ largerThan: 5000 }, { body: /\.{5000}/ }],
    [{ users: [UID] }, {}],
  ] as const)
    t.match(callFor(block(conditions)), { host: CANARY_NAME, ...expected }, JSON.stringify(conditions))
})

t.test('a provider’s own host is called only to be blocked', async (t) => {
  t.match(callFor(block({ providers: ['mistral'] })), { host: 'api.mistral.ai' })
  t.match(callFor(block({ hosts: ['api.openai.com'] })), { host: 'api.openai.com' })
  t.same(hostsToCall(rulesWith(block({ hosts: ['**.example.org', 'a.example.org'] }))), ['a.example.org'])
  t.same(hostsToCall(rulesWith({ name: 'it', action: 'allow', providers: ['mistral'] })), [])
  t.match(callFor({ name: 'it', action: 'allow', providers: ['mistral'] }), /where doctor sends nothing/)
  t.match(
    callFor({ name: 'it', action: 'redact', providers: ['mistral'], content: ['email'] }),
    /sends nothing/,
  )
})

t.test('what no request of ours can meet is said to be untried', async (t) => {
  for (const conditions of [
    { users: [1000] },
    { ports: [8443] },
    { addresses: ['203.0.113.0/24'] },
    { content: ['project'] },
    { largerThan: 1 << 30 },
    { providers: ['xai'] },
  ])
    t.match(callFor(block(conditions)), /agent-anchor policy test/, JSON.stringify(conditions))
  const hidden = [{ name: 'first', action: 'allow' }, block({ models: ['*'] })]
  t.match(callFor(...hidden), /agent-anchor policy test/, 'another rule decides before it')
})
