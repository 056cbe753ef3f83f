/** Rules about requests and records, end to end: the real SDKs, what the provider saw, and what is left on the disk. */
import { mkdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'

t.setTimeout(120_000)
await enterLab(import.meta.url)

const ADDITIONS = '/etc/agent-anchor/policies/standard.d'
mkdirSync(ADDITIONS, { recursive: true })
writeFileSync(
  `${ADDITIONS}/10-test.yaml`,
  `apiVersion: agent-anchor/v1
kind: PolicyAddition
agents:
  - { name: second, users: [4002] }
detectors:
  - { name: forbidden, pattern: 'FORBIDDEN-[0-9]+' }
  - { name: private, pattern: 'PRIVATE-[0-9]+' }
  - { name: gone, pattern: 'GONE-[0-9]+' }
traffic:
  rules:
    - { name: not-that, action: block, content: [forbidden] }
    - { name: no-keys, action: redact, content: [secrets] }
records:
  rules:
    - { name: quiet, action: metadata-only, content: [private] }
    - { name: none, action: discard, content: [gone] }
    - { name: mail, action: redact, content: [email] }
`,
)
const lab = await startLab()
const gateway = await startGateway()
t.teardown(async () => {
  await gateway.stop()
  await lab.stop()
})

interface Row {
  readonly id: string
  readonly uid: number | null
  readonly record: { readonly kind: string; readonly [key: string]: unknown }
}

const list = async (...filter: string[]) =>
  (await gateway.json('records', '--limit', '1000', ...filter)).records as Row[]

/** Finalising runs behind the agents. */
const recorded = async (which: (row: Row) => boolean, ...filter: string[]): Promise<Row> => {
  const end = Date.now() + 10_000
  for (;;) {
    const found = (await list(...filter)).find(which)
    if (found) return found
    if (Date.now() > end) throw new Error('no such record')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

interface Called {
  readonly ok: boolean
  readonly id: string
  readonly text: string
  readonly error: {
    readonly class: string
    readonly message: string
    readonly status: number
    readonly body: unknown
  }
}

const sdk = async (script: string, prompt: string, user = 'agent1'): Promise<Called> => {
  const options = JSON.stringify({ apiKey: `sk-proj-${'T3sTk3y'.repeat(5)}`, prompt })
  const { stdout, stderr } = await lab.run(user, [NODE, `${REPOSITORY}/test/lab/clients/${script}`, options])
  try {
    return JSON.parse(stdout) as Called
  } catch {
    throw new Error(stdout + stderr)
  }
}

/** All that a site saw, once one of its exchanges holds `text`. */
const wired = async (site: string, text: string): Promise<string> => {
  const end = Date.now() + 5000
  for (;;) {
    const seen = (await lab.wireLog())
      .filter((connection) => connection.site === site)
      .flatMap(({ exchanges }) => exchanges.map(({ body }) => body.toString()))
      .join('\n')
    if (seen.includes(text) || Date.now() > end) return seen
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const bodies = async (id: string) => {
  const shown = (await gateway.json('show', id, '--bodies')).bodies as Record<string, string>
  return Object.fromEntries(
    Object.entries(shown).map(([name, base64]) => [name, Buffer.from(base64, 'base64').toString()]),
  )
}

const providers = [
  { script: 'openai.mjs', site: 'api.openai.com' },
  { script: 'anthropic.mjs', site: 'api.anthropic.com' },
]

for (const { script, site } of providers) {
  t.test(`a blocked request is the SDK’s own error, with the rule: ${script}`, async (t) => {
    const { ok, error } = await sdk(script, 'say FORBIDDEN-17')
    t.equal(ok, false)
    t.equal(error.class, 'PermissionDeniedError')
    t.equal(error.status, 403)
    t.match(
      error.message,
      /Agent Anchor Gateway: the rule standard\/traffic\/not-that of this machine's policy blocks it; it holds forbidden/,
    )
    const { record } = await recorded(
      ({ record }) => record.outcome === 'blocked' && (record.server as { name: string }).name === site,
    )
    t.match(record, { policy: { rule: 'standard/traffic/not-that', verdict: 'block', found: ['forbidden'] } })
    t.notMatch(await wired(site, 'nothing has this'), 'FORBIDDEN-17', 'the provider saw nothing of it')
  })

  t.test(`a key in a prompt never reaches the provider, nor the disk: ${script}`, async (t) => {
    const secret = `ghp_${'aB3xY9kQ'.repeat(5)}`
    const { ok, id, text } = await sdk(script, `use ${secret} twice: ${secret}`)
    t.ok(ok)
    t.match(
      text,
      '[redacted:github-token] twice: [redacted:github-token]',
      'the provider answers to what it got',
    )
    t.notMatch(await wired(site, 'redacted:github-token'), secret)
    const row = await recorded(({ record }) => JSON.stringify(record).includes(id))
    t.match(row.record, {
      policy: { rule: 'standard/traffic/no-keys', verdict: 'redact', found: ['github-token'] },
    })
    const parts = await bodies(row.id)
    t.match(parts['request.body'], 'use [redacted:github-token] twice')
    t.notMatch(JSON.stringify(parts), secret)
  })
}

t.test(
  'metadata-only: the provider gets it, the record has what it told, the store has no body',
  async (t) => {
    const { ok, id } = await sdk('openai.mjs', 'keep PRIVATE-1 to yourself', 'agent2')
    t.ok(ok)
    t.match(await wired('api.openai.com', 'PRIVATE-1'), 'PRIVATE-1')
    const row = await recorded(({ record }) => JSON.stringify(record).includes(id))
    t.match(row.record, {
      agent: { name: 'second', uid: 4002 },
      derived: { 'gen_ai.request.model': 'gpt-4o-mini', usageSource: 'reported' },
      policy: {
        rule: 'standard/governed-name',
        records: { action: 'metadata-only', rule: 'standard/records/quiet' },
      },
      request: { body: { stored: false } },
      response: { body: { stored: false } },
    })
    t.notMatch(JSON.stringify(await bodies(row.id)), 'PRIVATE-1')
  },
)

t.test('discard: the log has that there was one and by which rule, and nothing else of it', async (t) => {
  const before = (await list('--kind', 'exchange')).length
  const { ok, id } = await sdk('openai.mjs', 'forget GONE-1')
  t.ok(ok)
  const { record } = await recorded(({ record }) => record.event === 'record-discarded', '--kind', 'audit')
  t.match(record, { detail: { rule: 'standard/records/none', policy: /^[0-9a-f]{64}$/ } })
  t.notMatch(JSON.stringify(await list()), id)
  t.equal((await list('--kind', 'exchange')).length, before)
})

t.test('redact in the record only: the provider gets the address, the store the marker', async (t) => {
  const { id, text } = await sdk('anthropic.mjs', 'write to ann@corp.example')
  t.match(text, 'ann@corp.example')
  const row = await recorded(({ record }) => JSON.stringify(record).includes(id))
  t.match(row.record, {
    policy: { records: { action: 'redact', rule: 'standard/records/mail', redacted: 2 } },
  })
  const parts = await bodies(row.id)
  t.match(parts['request.body'], 'write to [redacted:email]')
  t.notMatch(JSON.stringify(parts), 'ann@corp.example')
})

t.test('explain says of a record what decided', async (t) => {
  const row = await recorded(({ record }) => record.outcome === 'blocked')
  const found = await gateway.json('policy', 'explain', '--record', row.id)
  t.match(found, { traffic: { verdict: { action: 'block', rule: 'not-that' } } })
})
