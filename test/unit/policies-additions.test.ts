/** Drop-ins: rules that stand before a policy's own. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadPolicy } from '../../policies/policy.ts'
import { PolicyError } from '../../policies/policy-error.ts'
import { shippedDirectory } from '../../policies/shipped.ts'

const HEAD = 'apiVersion: agent-anchor/v1\nkind: PolicyAddition\n'

function directory(t: Test, policy: string, files: Record<string, string>): string {
  const dir = t.testdir()
  mkdirSync(join(dir, `${policy}.d`))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, `${policy}.d`, name), text)
  return dir
}

function failure(dir: string, name = 'standard'): PolicyError {
  try {
    loadPolicy({ dir, name })
  } catch (error) {
    if (error instanceof PolicyError) return error
    throw error
  }
  throw new Error('it was taken')
}

t.test('files add to a shipped policy, in the order of their names, before its own rules', async (t) => {
  const rule = (name: string) => `traffic: { rules: [{ name: ${name}, action: allow, ports: [443] }] }\n`
  const dir = directory(t, 'lockdown', {
    '20-b.yaml': `${HEAD}${rule('second')}records: { rules: [{ name: r, action: discard, agents: [ci] }] }\n`,
    '10-a.yaml': `${HEAD}${rule('first')}agents: [{ name: ci, users: [1000] }]\n`,
    '30-c.yaml': `${HEAD}detectors: [{ name: ticket, pattern: "T-[0-9]+" }]\n`,
    'notes.txt': 'not a policy',
    '.hidden.yaml': 'nor this',
  })
  const { policy } = loadPolicy({ dir, name: 'lockdown' })
  t.strictSame(
    policy.traffic.rules.map(({ name }) => name),
    ['first', 'second', 'providers'],
  )
  t.equal(policy.traffic.default, 'block')
  t.match(policy, {
    agents: [{ name: 'ci' }],
    detectors: [{ name: 'ticket' }],
    records: { rules: [{ name: 'r' }] },
  })
  t.not(
    policy.hash,
    loadPolicy({ dir: shippedDirectory, name: 'lockdown' }).policy.hash,
    'and stand in its hash',
  )
  t.strictSame(loadPolicy({ dir, name: 'standard' }).policy.traffic.rules, [], 'of that policy alone')
})

t.test('what is wrong is shown at its place in its own file', async (t) => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ 'a.yaml': `${HEAD}enforcement: {}\n` }, /a\.yaml:3:1: unknown key `enforcement`/],
    [
      { 'a.yaml': 'apiVersion: agent-anchor/v1\nkind: Policy\n' },
      /a\.yaml:2:7: `kind` must be `PolicyAddition`/,
    ],
    [
      {
        'a.yaml': `${HEAD}traffic: { rules: [{ name: x, action: block, ports: [1] }] }\n`,
        'b.yaml': `${HEAD}traffic: { rules: [{ name: y, action: block, ports: [2] }, { name: z, action: block, providers: [grok] }] }\n`,
      },
      /b\.yaml:3:\d+: the catalogue has no provider `grok`; did you mean `groq`/,
    ],
    [
      {
        'a.yaml': `${HEAD}traffic: { rules: [{ name: x, action: block, ports: [1] }] }\n`,
        'b.yaml': `${HEAD}traffic: { rules: [{ name: x, action: allow, ports: [2] }] }\n`,
      },
      /b\.yaml:3:\d+: another rule is called `x`/,
    ],
    [{ 'a.yaml': `${HEAD}agents: [{ name: x }]\n` }, /a\.yaml:3:\d+: this says nothing of `x`/],
  ]
  for (const [files, message] of cases) {
    const dir = directory(t, 'standard', files)
    const error = failure(dir)
    t.match(error.message, message)
    t.ok(error.problems.length > 0 && error.remedy)
  }
  const closing = directory(t, 'lockdown', {
    'a.yaml': `${HEAD}traffic: { rules: [{ name: x, action: allow }] }\n`,
  })
  t.match(failure(closing, 'lockdown').message, /a\.yaml:3:\d+: this rule is never reached/)
})

t.test('a directory that can’t be read is an error, none is not', async (t) => {
  const dir = t.testdir({ 'standard.d': 'a file' })
  t.equal(failure(dir).code, 'FILE_UNREADABLE')
  t.equal(loadPolicy({ dir: t.testdir(), name: 'standard' }).policy.name, 'standard')
})
