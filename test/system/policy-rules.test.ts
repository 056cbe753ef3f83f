/** Rules about requests and records, end to end: the real SDKs, what the provider saw, and what is left on the disk. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { OPENAI } from '../lab/addresses.ts'
import { chatCall, curlCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import { labWithGateway } from '../lab/lab-with-gateway.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'
import { BUNDLE } from '../lab/trust.ts'

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
const { lab, gateway } = await labWithGateway(t)

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

t.test('over HTTP/2 a stream is blocked, or redacted, as a request is: curl and gRPC', async (t) => {
  await lab.ask({ type: 'http2', site: OPENAI.name, on: true })
  const key = `sk-proj-${'T3sTk3y'.repeat(5)}`
  const curl = async (prompt: string) =>
    (await lab.run('agent1', curlCommand(chatCall(key, prompt, false), ['--http2']))).stdout
  const blocked = await curl('say FORBIDDEN-29')
  t.match(blocked, /^HTTP\/2 403/)
  t.match(blocked, /"type":"permission_error".*"code":"blocked_by_policy"/)
  const secret = `ghp_${'kQ9yX3Ba'.repeat(5)}`
  t.match(await curl(`over two ${secret} ${'and more '.repeat(10_000)}`), /^HTTP\/2 200/)
  const grpc = async (text: string) => {
    const options = { host: OPENAI.name, method: 'Say', text, key }
    const argv = [NODE, `${REPOSITORY}/test/lab/clients/grpc.mjs`, JSON.stringify(options)]
    const env = { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: BUNDLE }
    const { stdout, stderr } = await lab.run('agent1', argv, { env })
    return JSON.parse(stdout || stderr) as {
      ok: boolean
      said?: string[]
      error?: { code: number; message: string }
    }
  }
  t.match(await grpc('FORBIDDEN-31'), {
    ok: false,
    error: { code: 7, message: /the rule standard\/traffic\/not-that of this machine's policy blocks it/ },
  })
  t.match(await grpc('harmless over two'), { ok: true })
  const seen = await wired(OPENAI.name, 'harmless over two')
  t.match(seen, 'over two [redacted:github-token] and more')
  t.notMatch(seen, secret)
  t.notMatch(seen, /FORBIDDEN-(29|31)/)
  const { record } = await recorded(
    ({ record }) =>
      record.outcome === 'blocked' && (record.http as { target: string }).target.startsWith('/lab.Echo/'),
  )
  t.match(record, { policy: { rule: 'standard/traffic/not-that', verdict: 'block', found: ['forbidden'] } })
  await lab.ask({ type: 'http2', site: OPENAI.name, on: false })
})

/** Asks twice on one connection: the second time once the file is there. */
const TWICE = `
const { connect } = require('node:tls')
const { existsSync } = require('node:fs')
const [, body, file] = process.argv
const socket = connect({ host: 'api.openai.com', port: 443, servername: 'api.openai.com' })
const call = () => socket.write('POST /v1/chat/completions HTTP/1.1\\r\\nHost: api.openai.com\\r\\nAuthorization: Bearer sk-test\\r\\nContent-Length: ' + Buffer.byteLength(body) + '\\r\\n\\r\\n' + body)
let seen = ''
let asked = 1
socket.on('secureConnect', call)
socket.on('data', (bytes) => {
  seen += bytes
  const answers = seen.match(/HTTP\\/1\\.1 \\d+/g) ?? []
  if (answers.length < asked) return
  process.stdout.write(answers[asked - 1] + '\\n')
  if (asked++ === 2) return socket.destroy()
  const timer = setInterval(() => {
    if (!existsSync(file)) return
    clearInterval(timer)
    call()
  }, 20)
})
socket.on('close', () => process.exit(0))
`

t.test('another policy is taken while a connection lives on, and counts for its next request', async (t) => {
  const file = '/tmp/policy-rules-reloaded'
  rmSync(file, { force: true })
  const before = (await gateway.state())?.policy.hash as string
  const body = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'say LATER-1' }] })
  const call = lab.run('agent1', [NODE, '-e', TWICE, body, file])
  await recorded(
    ({ record }) =>
      (record.derived as { 'gen_ai.request.model'?: string } | undefined) !== undefined &&
      JSON.stringify(record.request).includes(`"size":${body.length}`),
  )
  writeFileSync(
    `${ADDITIONS}/20-later.yaml`,
    `apiVersion: agent-anchor/v1
kind: PolicyAddition
detectors: [{ name: later, pattern: 'LATER-[0-9]+' }]
traffic: { rules: [{ name: not-later, action: block, content: [later] }] }
`,
  )
  const reloaded = await gateway.cli('policy', 'reload')
  t.equal(reloaded.code, 0, reloaded.stderr)
  const after = (await gateway.state())?.policy.hash as string
  t.not(after, before)
  t.match(reloaded.stdout, after)
  writeFileSync(file, '')
  t.equal((await call).stdout, 'HTTP/1.1 200\nHTTP/1.1 403\n')
  const { record } = await recorded(({ record }) => record.event === 'policy-changed', '--kind', 'audit')
  t.match(record, { detail: { name: 'standard', from: before, to: after } })
  const blocked = await recorded(
    ({ record }) => (record.policy as { rule?: string } | undefined)?.rule === 'standard/traffic/not-later',
  )
  t.match(blocked.record, { policy: { hash: after, verdict: 'block' } })
})

t.test('a bad policy is not taken: the old one holds, and status and log say why', async (t) => {
  const before = (await gateway.state())?.policy.hash
  writeFileSync(
    `${ADDITIONS}/30-bad.yaml`,
    'apiVersion: agent-anchor/v1\nkind: PolicyAddition\ntraffic: { rules: [{ name: x, action: blok }] }\n',
  )
  const reloaded = await gateway.cli('policy', 'reload')
  t.equal(reloaded.code, 1)
  t.match(reloaded.stderr, /30-bad\.yaml:3:\d+: .*did you mean `block`/)
  t.equal((await gateway.state())?.policy.hash, before)
  t.equal((await sdk('openai.mjs', 'say LATER-2')).error.status, 403, 'the old rules hold')
  const { record } = await recorded(({ record }) => record.event === 'policy-rejected', '--kind', 'audit')
  t.match(record, { detail: { policy: before, why: /30-bad\.yaml:3/ } })
  const status = await gateway.json('status')
  t.match(JSON.stringify(status), /policy\.rejected/)
  writeFileSync(`${ADDITIONS}/30-bad.yaml`, 'apiVersion: agent-anchor/v1\nkind: PolicyAddition\n')
  t.equal((await gateway.cli('policy', 'reload')).code, 0)
  t.notMatch(JSON.stringify(await gateway.json('status')), /policy\.rejected/)
})

t.test('the kernel’s rules follow, and what can’t change while it runs is refused', async (t) => {
  const own = (settings: string) =>
    writeFileSync(
      `${ADDITIONS}/../standard.yaml`,
      `apiVersion: agent-anchor/v1\nkind: Policy\nname: standard\n${settings}`,
    )
  own('enforcement: { ports: [80, 443, 8443] }\n')
  t.equal((await gateway.cli('policy', 'reload')).code, 0)
  const rules = async () => (await lab.run('root', ['/usr/sbin/nft', 'list', 'ruleset'])).stdout
  const end = Date.now() + 10_000
  while (!(await rules()).includes('8443') && Date.now() < end)
    await new Promise((resolve) => setTimeout(resolve, 100))
  t.match(await rules(), /8443/)
  t.equal((await gateway.state())?.enforcement.redirect, true)
  own('enforcement: { dns: guarded }\n')
  const refused = await gateway.cli('policy', 'reload')
  t.equal(refused.code, 1)
  t.match(refused.stderr, /enforcement\.dns can't change while the gateway runs: restart it/)
  t.match(await rules(), /8443/)
})

t.test('explain says of a record what decided', async (t) => {
  const row = await recorded(
    ({ record }) => (record.policy as { rule?: string } | undefined)?.rule === 'standard/traffic/not-that',
  )
  const found = await gateway.json('policy', 'explain', '--record', row.id)
  t.match(found, {
    traffic: { verdict: { action: 'block', rule: 'not-that' } },
    recordedUnder: (row.record.policy as { hash: string }).hash,
  })
})
