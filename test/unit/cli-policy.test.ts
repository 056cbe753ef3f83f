/** What the commands about policies answer. */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { difference } from '../../policies/difference.ts'
import { loadPolicy } from '../../policies/policy.ts'
import { shippedDirectory } from '../../policies/shipped.ts'
import { compiledCode } from '../lab/compiled.ts'

t.setTimeout(60_000)
const main = join(import.meta.dirname, '../../cli/main.ts')

function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...compiledCode, PATH: '/usr/bin:/bin', LANG: 'C.UTF-8' }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, 'policy', ...args], { env }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}
const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout)

const OWN = `apiVersion: agent-anchor/v1
kind: Policy
name: mine
detectors: [{ name: ticket, pattern: "T-[0-9]+" }]
traffic:
  rules:
    - { name: small-models, action: allow, models: ["*-mini"] }
    - { name: no-shell, action: block, tools: [shell], users: [7] }
    - { name: tickets, action: redact, content: [ticket] }
records:
  rules: [{ name: hers, action: discard, users: [1000] }]
`

t.test('the shipped policies are as their cases say, and every rule of theirs is covered', async (t) => {
  const { code, stdout } = await run('test')
  t.equal(code, 0, stdout)
  const { passed, files } = await json('test')
  t.equal(passed, true)
  t.strictSame(files.map(({ policy }: { policy: string }) => policy).sort(), [
    'lockdown',
    'observe',
    'standard',
    'strict',
  ])
  for (const file of files) t.strictSame(file.uncovered, [], file.policy)
})

t.test('a case that fails says what was expected and what is, and which rules none came by', async (t) => {
  const dir = t.testdir({ 'mine.yaml': OWN })
  const cases = join(dir, 'mine.cases.yaml')
  writeFileSync(
    cases,
    `apiVersion: agent-anchor/v1
kind: PolicyCases
policy: mine
cases:
  - name: right
    request: { provider: openai, text: "see T-1" }
    expect: { action: redact, rule: traffic/tickets }
    records: { action: anchor }
  - name: wrong
    request: { provider: openai, model: gpt-5-mini, agent: { uid: 1000 } }
    expect: { action: block, rule: traffic/no-shell }
    records: { action: discard, rule: records/hers }
`,
  )
  const { code, stdout } = await run('test', cases)
  t.equal(code, 1)
  t.match(
    stdout,
    /FAILED .*mine\.cases\.yaml: wrong\n +expected block by traffic\/no-shell, and it is allow by traffic\/small-models/,
  )
  t.match(stdout, /mine +1 of 2 +3 of \d+ .*traffic\/no-shell/)
})

t.test('explain names the rule that decides, each before it, and why not those', async (t) => {
  const dir = t.testdir({ 'mine.yaml': OWN })
  const file = join(dir, 'mine.yaml')
  const { stdout, code } = await run(
    'explain',
    '--policy',
    file,
    '--provider',
    'openai',
    '--model',
    'gpt-5',
    '--tool',
    'shell',
  )
  t.equal(code, 0)
  t.match(stdout, /request: block, by mine\/traffic\/no-shell\n +could not be told or done: users\n/)
  t.match(stdout, /small-models +allow +no +models\n +no-shell +block +can’t be told +users/)
  const found = await json(
    'explain',
    '--policy',
    file,
    '--provider',
    'openai',
    '--uid',
    '1000',
    '--text',
    'T-12',
  )
  t.match(found, {
    traffic: { verdict: { action: 'redact', rule: 'tickets', found: ['ticket'] } },
    records: {
      verdict: { action: 'discard', rule: 'hers' },
      steps: [{ matches: 'yes', because: ['users'] }],
    },
  })
  t.match(await run('explain', '--sha256', 'x'), { code: 2, stderr: /64 hex digits/ })
  t.match(await run('explain', '--provider', 'opnai'), {
    code: 1,
    stdout: '',
    stderr: /no provider `opnai`\nDid you mean `openai`\?/,
  })
  t.match(await run('explain', '--text', 'x'.repeat(70_000)), {
    code: 1,
    stderr: /--text can't be described so/,
  })
  writeFileSync(join(dir, 'body'), JSON.stringify({ model: 'gpt-5-mini', input: 'x'.repeat(2 << 20) }))
  t.match(await run('explain', '--policy', file, '--body', join(dir, 'body')), {
    code: 0,
    stdout: /small-models/,
  })
})

t.test('validate says where and what, and what to do', async (t) => {
  const dir = t.testdir({ 'mine.yaml': OWN.replace('[ticket]', '[tickets]') })
  mkdirSync(join(dir, 'standard.d'))
  const addition = join(dir, 'standard.d', '10.yaml')
  writeFileSync(
    addition,
    'apiVersion: agent-anchor/v1\nkind: PolicyAddition\ntraffic: { rules: [{ name: a, action: blok }] }\n',
  )
  const { code, stderr, stdout } = await run('validate', join(dir, 'mine.yaml'), addition, 'standard')
  t.equal(code, 1)
  t.equal(stdout, '')
  t.match(
    stderr,
    /mine\.yaml:9:\d+: there is no detector `tickets`; did you mean `ticket`\?\n.*\n.*\^\^\^\nCorrect the place/,
  )
  t.match(stderr, /10\.yaml:3:\d+: .*did you mean `block`/)
  const found = await json('validate', join(dir, 'mine.yaml'), 'standard')
  t.match(found, {
    valid: false,
    files: [
      { valid: false, problems: [{ line: 9, message: /detector/ }], remedy: /Correct/ },
      { valid: true, message: /hash [0-9a-f]{64}/ },
    ],
  })
  t.match(await run('validate', join(shippedDirectory, 'providers.yaml')), {
    code: 0,
    stdout: /a catalogue of \d+ providers/,
  })
  t.match(await run('validate', 'absent'), { code: 1, stderr: /there is no policy "absent"/ })
})

t.test('diff shows effects: settings by their path, rules by their name, and their order', async (t) => {
  t.match(await run('diff', 'standard', 'strict'), {
    code: 0,
    stdout: /^enforcement\.fence: "providers" → "everything"$/m,
  })
  t.match(await run('diff', 'standard', 'standard'), { stdout: 'no difference\n' })
  const { policy } = loadPolicy({ dir: shippedDirectory, name: 'standard' })
  const withRules = (...rules: { name: string; ports: number[] }[]) => ({
    ...policy,
    traffic: { ...policy.traffic, rules: rules.map((rule) => ({ ...rule, action: 'block' as const })) },
  })
  const [a, b, c] = ['a', 'b', 'c'].map((name, i) => ({ name, ports: [i + 1] })) as [
    { name: string; ports: number[] },
    { name: string; ports: number[] },
    { name: string; ports: number[] },
  ]
  t.strictSame(
    difference(withRules(a, b, c), withRules(c, { ...a, ports: [9] })).map(({ setting }) => setting),
    ['traffic.rules.a', 'traffic.rules.b', 'traffic.rules (order)'],
  )
})
