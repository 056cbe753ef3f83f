import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadPolicy } from '../../policies/policy.ts'
import { PolicyError } from '../../policies/policy-error.ts'
import { RULE_IDS } from '../../policies/rule-ids.ts'
import { shippedDirectory } from '../../policies/shipped.ts'

const HEAD = 'apiVersion: agent-anchor/v1\nkind: Policy\nname: mine\n'

function failure(dir: string): PolicyError | undefined {
  try {
    loadPolicy({ dir, name: 'mine' })
  } catch (error) {
    if (error instanceof PolicyError) return error
    throw error
  }
  return undefined
}

/** Paths of all settings, to their values. */
function leaves(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { [path]: value }
  return Object.assign({}, ...Object.entries(value).map(([key, inner]) => leaves(inner, `${path}.${key}`)))
}

const STRICT = 'fence: everything, dns: guarded'
const BLOCK = 'traffic: { default: block, rules: [{ name: a, action: allow, providers: ["*"] }] }'

t.test('settings that cannot be, or promise what is not done, are refused at their place', async (t) => {
  const cases: [text: string, place: string, message: RegExp][] = [
    [`traffic: { rules: [{ name: a, action: redact }] }`, '4:20', /name detectors there/],
    [
      `traffic: { rules: [{ name: a, action: allow, models: [x], cannotTell: block }] }`,
      '4:71',
      /never matches what it can’t tell/,
    ],
    [`traffic: { rules: [{ name: a, action: block, content: [secret] }] }`, '4:56', /did you mean `secrets`/],
    [`traffic: { rules: [{ name: a, action: block, agents: [ci] }] }`, '4:55', /no agent `ci`/],
    [`traffic: { rules: [{ name: a, action: block, paths: [v1] }] }`, '4:54', /a path begins with/],
    [`traffic: { rules: [{ name: a, action: block, operations: [chats] }] }`, '4:59', /did you mean `chat`/],
    [`detectors: [{ name: a, pattern: "(?=x)" }]`, '4:33', /no RE2 pattern/],
    [`detectors: [{ name: email, pattern: x }]`, '4:21', /another detector is called `email`/],
    [`agents: [{ name: a }]`, '4:10', /anybody would be it/],
    [`records: { rules: [{ name: a, action: redact }] }`, '4:20', /name detectors there/],
    [`records: { rules: [{ name: a, action: keep, providers: [grok] }] }`, '4:57', /did you mean `groq`/],
    [
      `records: { rules: [{ name: a, action: redact, content: [email] }, { name: b, action: discard }] }`,
      '4:67',
      /never reached/,
    ],
    ['enforcement: { fence: all }', '4:23', /`fence` must be one of `nothing`, `providers`, `everything`/],
    ['enforcement: { ports: [] }', '4:16', /at least 1 entries/],
    ['enforcement: { ports: [80, 80] }', '4:28', /this port stands here twice/],
    ['enforcement: { ports: [0] }', '4:24', /at least 1/],
    ['enforcement: { subjects: { users: nobody } }', '4:35', /`everyone` or a list/],
    ['enforcement: { subjects: { users: [a b] } }', '4:36', /no user's name/],
    ['enforcement: { subjects: { users: ["1000"] } }', '4:36', /a uid is written without quotes/],
    ['enforcement: { subjects: { users: [-1] } }', '4:36', /a uid is 0 at least/],
    ['enforcement: { subjects: { users: [1.5] } }', '4:36', /a user is a name or a uid/],
    ['enforcement: { subjects: { users: [alice, alice] } }', '4:43', /this user stands here twice/],
    ['enforcement: { subjects: { groups: [agents] } }', '4:28', /everyone is governed already/],
    ['enforcement: { subjects: { users: [], containers: false } }', '4:28', /this governs nobody/],
    [
      'enforcement: { subjects: { users: [alice], cgroups: [/system.slice] } }',
      '4:54',
      /without a leading `\/`/,
    ],
    ['enforcement: { exempt: { cgroups: [a/../b] } }', '4:36', /a cgroup is a path/],
    ['enforcement: { exempt: { cgroups: ["a\\"; flush"] } }', '4:36', /a cgroup is a path/],
    [
      'enforcement: { subjects: { users: [alice] }, exempt: { users: [alice] } }',
      '4:64',
      /`alice` is among `subjects` too/,
    ],
    ['enforcement: { logGroup: 5, dnsLogGroup: 5 }', '4:42', /they must differ/],
    [
      'enforcement: { allow: [{ protocol: udp, ports: [123], users: [root] }] }',
      '4:16',
      /opens a fence that refuses everything/,
    ],
    [`enforcement: { ${STRICT}, allow: [{ protocol: udp, ports: [123], users: [] }] }`, '4:88', /at least 1/],
    [
      `enforcement: { ${STRICT}, allow: [{ protocol: icmp, ports: [1], users: [root] }] }`,
      '4:69',
      /`tcp`, `udp`/,
    ],
    ['enforcement: { fence: everything }', '4:1', /nobody could resolve a name/],
    ['enforcement: { fence: everything, dns: direct }', '4:40', /nobody could resolve a name/],
    ['enforcement: { local: [{ port: 11434, provider: olama }] }', '4:49', /did you mean `ollama`\?/],
    [
      'enforcement: { local: [{ port: 1, provider: ollama }, { port: 1, provider: groq }] }',
      '4:63',
      /this port stands here twice/,
    ],
    ['proxy: { longNames: refuse }', '4:21', /seen only by the DNS guard/],
    ['proxy: { exceptions: [a.example] }', '4:10', /`unknownName: intercept`/],
    ['proxy: { unknownName: intercept, exceptions: ["*"] }', '4:47', /too broad/],
    ['proxy: { unknownName: intercept, unlistedCalls: pass }', '4:49', /set `record` or `refuse`/],
    ['proxy: { noName: refuse }', '4:18', /`noName` must be a mapping/],
    ['proxy: { noNames: {} }', '4:10', /unknown key `noNames`; did you mean `noName`\?/],
    ['traffic: { default: deny }', '4:21', /`allow`, `block`/],
    [`enforcement: { ${STRICT} }\ntraffic: { default: block }`, '5:21', /would let nothing leave/],
    [BLOCK, '4:21', /set `fence: everything`/],
    [
      'traffic: { rules: [{ name: a, action: block, providers: [opnai] }] }',
      '4:58',
      /no provider `opnai`; did you mean `openai`\?/,
    ],
    [
      'traffic: { rules: [{ name: a, action: block, providers: ["*", groq] }] }',
      '4:58',
      /let it stand alone/,
    ],
    ['traffic: { rules: [{ name: a, action: block, providers: [] }] }', '4:46', /at least 1/],
    [
      'traffic: { rules: [{ name: a, action: block, addresses: [10.0.0.1/8] }] }',
      '4:58',
      /write `10\.0\.0\.0\/8`/,
    ],
    [
      'traffic: { rules: [{ name: a, action: block, addresses: [example.com] }] }',
      '4:58',
      /neither an address/,
    ],
    ['traffic: { rules: [{ name: a, action: block, hosts: [A.example] }] }', '4:54', /lower case/],
    ['traffic: { rules: [{ name: a, action: block, host: [a.example] }] }', '4:46', /did you mean `hosts`\?/],
    ['traffic: { rules: [{ name: A, action: block }] }', '4:28', /a rule's name is of lower-case/],
    [
      'traffic: { rules: [{ name: a, action: block, ports: [1] }, { name: a, action: allow }] }',
      '4:68',
      /another rule is called `a`/,
    ],
    ['traffic: { rules: [{ name: a, action: block }, { name: b, action: allow }] }', '4:48', /never reached/],
  ]
  for (const [text, place, message] of cases) {
    const error = failure(t.testdir({ 'mine.yaml': `${HEAD}${text}\n` }))
    t.equal(error?.code, 'INVALID_DOCUMENT', text)
    t.match(error?.message, `mine.yaml:${place}: `, text)
    t.match(error?.message, message, text)
    t.ok(error?.remedy)
  }
})

t.test('what makes sense together is taken', async (t) => {
  for (const text of [
    'enforcement: { subjects: { users: [alice, 1000, "dom\\\\user", a@b.example], groups: [agents], cgroups: [user.slice/a@1.service] } }',
    'enforcement: { subjects: { users: [] } }',
    'enforcement: { subjects: { users: [], groups: [agents], containers: false } }',
    'enforcement: { fence: everything, allow: [{ protocol: udp, ports: [53], users: [systemd-resolve] }] }',
    'enforcement: { local: [{ port: 11434, provider: ollama }] }',
    'proxy: { unknownName: intercept, exceptions: ["**.bank.example", intranet] }',
    `enforcement: { ${STRICT}, redirect: all }\n${BLOCK}`,
    'traffic: { rules: [{ name: a, action: block, addresses: ["2001:db8::/32"], users: [alice, 0] }] }',
  ]) {
    t.equal(failure(t.testdir({ 'mine.yaml': `${HEAD}${text}\n` }))?.message, undefined, text)
  }
})

t.test('the documentation has every rule, and every setting as it is shipped', async (t) => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/policies.md'), 'utf8')
  for (const id of RULE_IDS) t.match(text, `\`${id}\``, id)
  const names = ['observe', 'standard', 'strict', 'lockdown']
  const loaded = names.map((name) => loadPolicy({ dir: shippedDirectory, name }).policy)
  for (const part of ['enforcement', 'proxy', 'traffic'] as const) {
    for (const path of Object.keys(leaves(loaded[0]?.[part], part))) {
      const values = loaded.map((policy) => leaves(policy[part], part)[path])
      const shown = values.map((value) => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``)
      if (/allow$|rules$/.test(path)) t.match(text, `\n| \`${path}\` | \`[]\` | \`[]\` | `, path)
      else t.match(text, `\n| \`${path}\` | ${shown.join(' | ')} |\n`, path)
    }
  }
})
