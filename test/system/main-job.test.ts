/**
 * The main job, end to end, in namespaces: unmodified clients, the real kernel rules, the real daemon, and what the
 * provider saw.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'
import type { WireConnection } from '../lab/wire-log.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
// The whole file is one long story; the runner has the last word on time.
const lab = await startLab()
const gateway = await startGateway()
t.teardown(async () => {
  await gateway.stop()
  await lab.stop()
})

interface Listed {
  readonly id: string
  readonly kind: string
  readonly uid: number | null
  readonly provider: string | null
  readonly model: string | null
  readonly status: number | null
  readonly outcome: string | null
  readonly input_tokens: number | null
  readonly output_tokens: number | null
  readonly record: Record<string, unknown>
}

const list = async (...filter: string[]) =>
  (await gateway.json('records', '--limit', '1000', ...filter)).records as Listed[]

/** Waits until a listing satisfies, since finalising runs behind the agents. */
const listed = async (enough: (rows: Listed[]) => boolean, ...filter: string[]): Promise<Listed[]> => {
  const end = Date.now() + 10_000
  for (;;) {
    const rows = await list(...filter)
    if (enough(rows) || Date.now() > end) return rows
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Waits until the record is under a checkpoint that the chain holds, then gives `verify`'s own document. */
const verified = async (id: string) => {
  const end = Date.now() + 20_000
  for (;;) {
    const answer = await gateway.json('verify', id)
    const findings = (answer.findings ?? []) as { check: string; result: string; detail: string }[]
    const anchored = findings.some(
      ({ check, result }) => check === 'anchor development' && result === 'proved',
    )
    if (anchored || Date.now() > end) return { ...answer, findings, anchored }
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
}

/** Every key that a test sends; searched for on the disk at the end. */
const keys: string[] = []
const key = (name: string) => {
  const secret = `sk-proj-${name}-${'T3sTk3y'.repeat(5)}`
  keys.push(secret)
  return secret
}

const sdk = (user: string, script: string, options: object) =>
  lab.run(user, [NODE, `${REPOSITORY}/test/lab/clients/${script}`, JSON.stringify(options)])

/** A stored body as text, its content coding removed. */
const plain = (base64: string) => {
  const bytes = Buffer.from(base64, 'base64')
  return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString()
}

/** What a provider saw of requests with this text in their body; it logs an exchange when its answer is out. */
const wired = async (site: string, text: string, count: number) => {
  const end = Date.now() + 5000
  for (;;) {
    const seen = exchangesOf(await lab.wireLog(), site).filter(({ body }) => body.includes(text))
    if (seen.length >= count || Date.now() > end) return seen
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const exchangesOf = (wire: WireConnection[], site: string) =>
  wire
    .filter((connection) => connection.site === site)
    .flatMap(({ exchanges, remotePort }) => exchanges.map((exchange) => ({ ...exchange, remotePort })))

const users = [
  { name: 'agent1', uid: 4001 },
  { name: 'agent2', uid: 4002 },
]
const providers = [
  { script: 'openai.mjs', site: 'api.openai.com', provider: 'openai', model: 'gpt-4o-mini' },
  { script: 'anthropic.mjs', site: 'api.anthropic.com', provider: 'anthropic', model: 'claude-sonnet-5' },
]

for (const { script, site, provider, model } of providers) {
  for (const user of users) {
    for (const families of ['4', '6'] as const) {
      for (const stream of [false, true]) {
        const what = `${script} ${stream ? 'SSE' : 'JSON'} by ${user.name} over IPv${families}`
        t.test(
          'it captures once the catalogue is looked up, and does not wait in vain for that',
          async (t) => {
            t.equal((await gateway.state())?.enforcement.addressesKnown, true)
          },
        )

        t.test(`captures the unmodified SDK: ${what}`, async (t) => {
          await lab.ask({ type: 'resolve', name: site, families })
          const prompt = `question of ${what}`
          const apiKey = key(`${provider}-${user.name}-${families}-${stream}`)
          const call = await sdk(user.name, script, { apiKey, prompt, stream })
          t.equal(call.code, 0, call.stdout + call.stderr)
          const answer = JSON.parse(call.stdout) as {
            id: string
            text: string
            usage: Record<string, number>
          }

          const seen = await wired(site, prompt, 1)
          t.equal(seen.length, 1, 'the provider saw one request')
          t.match(seen[0]?.head.toString(), apiKey, 'with the key as the agent sent it')
          t.ok(answer.text.includes(prompt), 'the answer came back whole')

          const rows = await listed((rs) => rs.some((r) => JSON.stringify(r.record).includes(answer.id)))
          const row = rows.find((r) => JSON.stringify(r.record).includes(answer.id))
          t.ok(row, 'a record has the id of the answer')
          t.match(row, { kind: 'exchange', uid: user.uid, provider, model, status: 200, outcome: 'complete' })
          const client = row?.record.client as { port: number } | undefined
          t.not(
            seen[0]?.remotePort,
            client?.port,
            "it reached the provider from the proxy's socket, not the agent's",
          )
          const usage = answer.usage
          t.equal(row?.input_tokens, usage.prompt_tokens ?? usage.input_tokens)
          t.equal(row?.output_tokens, usage.completion_tokens ?? usage.output_tokens)

          const shown = (await gateway.json('show', row?.id ?? '', '--bodies')).bodies as Record<
            string,
            string
          >
          const bytes = (name: string) => Buffer.from(shown[name] ?? '', 'base64').toString()
          t.equal(
            bytes('request.body'),
            seen[0]?.body.toString(),
            'the stored request is what the provider saw',
          )
          t.ok(
            seen[0]?.response.includes(Buffer.from(shown['response.body'] ?? '', 'base64')) || stream,
            'the stored answer is what the provider sent',
          )
          t.ok(plain(shown['response.body'] ?? '').includes(answer.id), 'and the answer that the agent got')
          t.notOk(bytes('request.head').includes(apiKey), 'the stored head has no key')
        })
      }
    }
  }
}

t.test(
  'curl gets the answer byte for byte as the provider sent it, head and body, over JSON and SSE',
  async (t) => {
    for (const stream of [false, true]) {
      const body = JSON.stringify({
        model: 'gpt-4o-mini',
        stream,
        messages: [{ role: 'user', content: `bytes ${stream}` }],
      })
      const { code, stdoutBytes, stderr } = await lab.run('agent1', [
        'curl',
        ...['--silent', '--show-error', '--include', '--raw', '--http1.1'],
        ...['-H', `Authorization: Bearer ${key(`curl-${stream}`)}`, '-H', 'Content-Type: application/json'],
        ...['-H', 'X-OdD-cAsE: kept', '-d', body, 'https://api.openai.com/v1/chat/completions'],
      ])
      t.equal(code, 0, stderr)
      const [seen] = await wired('api.openai.com', `bytes ${stream}`, 1)
      t.ok(seen?.response.equals(stdoutBytes), 'same bytes')
      t.match(seen?.head.toString(), /\r\nX-OdD-cAsE: kept\r\n/, "header names keep the agent's case")
    }
  },
)

t.test("captures Python's urllib", async (t) => {
  const asked = {
    url: 'https://api.anthropic.com/v1/messages',
    headers: {
      'x-api-key': key('urllib'),
      'content-type': 'application/json',
      'anthropic-version': '2023-06-01',
    },
    body: JSON.stringify({
      model: 'claude-sonnet-5',
      max_tokens: 9,
      messages: [{ role: 'user', content: 'snake' }],
    }),
  }
  const call = await lab.run('agent2', [
    '/usr/bin/python3',
    `${REPOSITORY}/test/lab/clients/urllib_call.py`,
    JSON.stringify(asked),
  ])
  t.equal(call.code, 0, call.stdout + call.stderr)
  const { id } = JSON.parse(
    Buffer.from((JSON.parse(call.stdout) as { body: string }).body, 'base64').toString(),
  ) as { id: string }
  const rows = await listed((rs) => rs.some((r) => JSON.stringify(r.record).includes(id)))
  t.match(
    rows.find((r) => JSON.stringify(r.record).includes(id)),
    { uid: 4002, provider: 'anthropic', model: 'claude-sonnet-5', status: 200 },
  )
})

t.test('records of exchanges verify up to the root that is read from the chain', async (t) => {
  const [row] = await list('--kind', 'exchange', '--limit', '1')
  const { findings, verified: holds } = (await verified(row?.id ?? '')) as Awaited<
    ReturnType<typeof verified>
  > & { verified: boolean }
  t.ok(holds, JSON.stringify(findings, null, 1))
  for (const check of [
    'record',
    'inclusion',
    'signature',
    'anchor development',
    'body request.body',
    'store',
  ]) {
    t.ok(
      findings.some((f) => f.check === check && f.result === 'proved'),
      `${check} is proved`,
    )
  }
  t.match(
    findings.find((f) => f.check === 'anchor development')?.detail,
    /development chain: no independent evidence/,
    'and the chain is called what it is',
  )
})

t.test('NO_PROXY changes nothing', async (t) => {
  const before = (await list('--kind', 'exchange')).length
  const call = await lab.run(
    'agent1',
    ['curl', '-sS', '-H', `Authorization: Bearer ${key('noproxy')}`, 'https://api.openai.com/v1/models'],
    { env: { NO_PROXY: '*', no_proxy: '*', HTTPS_PROXY: '' } },
  )
  t.equal(call.code, 0, call.stderr)
  t.equal((await listed((rows) => rows.length > before, '--kind', 'exchange')).length, before + 1)
})

t.test('a hard-coded address reaches no provider, and the attempt is a record', async (t) => {
  for (const address of ['203.0.113.10', '[2001:db8:113::10]']) {
    const refusals = (await list('--kind', 'refusal')).length
    const wire = (await lab.wireLog()).length
    const call = await lab.run('agent1', [
      ...['curl', '-sS', '-k', '--max-time', '5', '-H', 'Host: api.openai.com'],
      ...['-H', `Authorization: Bearer ${key(`ip-${address}`)}`, `https://${address}/v1/models`],
    ])
    t.not(call.code, 0, 'refused')
    t.equal((await lab.wireLog()).length, wire, 'the provider saw nothing')
    const rows = await listed((rs) => rs.length > refusals, '--kind', 'refusal')
    t.match(rows[0], { kind: 'refusal', uid: 4001 })
  }
})

t.test('other ports of a provider are captured too, and UDP is refused', async (t) => {
  for (const [url, scheme] of [
    ['https://api.openai.com:8443/v1/models', 'TLS'],
    ['http://api.openai.com:9999/v1/models', 'plain HTTP'],
  ] as const) {
    const before = (await list('--uid', '4002')).length
    const call = await lab.run('agent2', [...['curl', '-sS', '--max-time', '5', '-w', '\n%{http_code}'], url])
    t.match(call.stdout, /agent_anchor_gateway.*\n502$/s, `${scheme}: what answers there is no provider`)
    t.equal((await listed((rows) => rows.length > before, '--uid', '4002')).length, before + 1, 'one record')
  }
  const wire = (await lab.wireLog()).length
  for (const [type, address] of [
    ['udp4', '203.0.113.10'],
    ['udp6', '2001:db8:113::10'],
  ]) {
    const send = `require('dgram').createSocket('${type}').send('x', 443, '${address}', (e) => process.exit(e ? 7 : 0))`
    t.equal((await lab.run('agent2', [NODE, '-e', send])).code, 7, `${type} is refused to the sender`)
  }
  t.equal((await lab.wireLog()).length, wire, 'the provider saw nothing')
})

const plainSite = async () => {
  const call = await lab.run('agent1', ['curl', '-sS', '-v', '--max-time', '5', 'https://www.example.org/'])
  return { code: call.code, own: !/Agent Anchor/.test(call.stderr), said: call.stderr }
}

t.test('a site that is no provider works end to end with its own certificate', async (t) => {
  t.match(await plainSite(), { code: 0, own: true })
  const names = (await list()).map((r) => JSON.stringify(r.record))
  t.notOk(
    names.some((text) => text.includes('www.example.org')),
    'and is not recorded',
  )
})

t.test(
  'a bad certificate of the provider is a 502 that names the gateway and the reason, and a record',
  async (t) => {
    for (const kind of ['self-signed', 'expired', 'wrong-name', 'unknown-root'] as const) {
      await lab.ask({ type: 'certificate', site: 'api.anthropic.com', kind })
      // Kept connections were trusted when they were made: the gateway must need a new one.
      await lab.ask({ type: 'listening', site: 'api.anthropic.com', on: false })
      await lab.ask({ type: 'listening', site: 'api.anthropic.com', on: true })
      const call = await lab.run('agent1', [
        ...['curl', '-sS', '-w', '\\n%{http_code}', '-H', `x-api-key: ${key(`bad-${kind}`)}`],
        'https://api.anthropic.com/v1/messages',
      ])
      t.match(call.stdout, /agent_anchor_gateway.*upstream_untrusted.*\n502$/s, kind)
    }
    await lab.ask({ type: 'certificate', site: 'api.anthropic.com', kind: 'good' })
    const rows = await listed((rs) => rs.filter((r) => r.outcome === 'upstream-untrusted').length >= 4)
    t.equal(rows.filter((r) => r.outcome === 'upstream-untrusted').length, 4)
  },
)

t.test('an unreachable provider is a 502 and a record', async (t) => {
  await lab.ask({ type: 'listening', site: 'api.anthropic.com', on: false })
  const call = await lab.run('agent1', [
    ...['curl', '-sS', '-w', '\\n%{http_code}', '-H', `x-api-key: ${key('unreachable')}`],
    'https://api.anthropic.com/v1/messages',
  ])
  await lab.ask({ type: 'listening', site: 'api.anthropic.com', on: true })
  t.match(call.stdout, /agent_anchor_gateway.*upstream_unreachable.*\n502$/s)
  const rows = await listed((rs) => rs.some((r) => r.outcome === 'upstream-unreachable'))
  t.ok(rows.some((r) => r.outcome === 'upstream-unreachable'))
})

t.test(
  'with the recorder dead governed calls are refused with 503 and the reason, others flow; then it is back',
  async (t) => {
    const recorder = async () => (await gateway.state())?.children.find(({ name }) => name === 'recorder')
    const call = () =>
      lab.run('agent1', [
        ...[
          'curl',
          '-sS',
          '--max-time',
          '8',
          '-w',
          '\\n%{http_code}',
          '-H',
          `Authorization: Bearer ${key('norecorder')}`,
        ],
        'https://api.openai.com/v1/models',
      ])
    const pid = (await recorder())?.pid ?? 0
    // Stopped first, so that no restart can be quicker than the call.
    process.kill(pid, 'SIGSTOP')
    const wire = exchangesOf(await lab.wireLog(), 'api.openai.com').length
    const refused = await call()
    t.match(refused.stdout, /agent_anchor_gateway.*recorder_unavailable.*\n503$/s)
    t.equal(exchangesOf(await lab.wireLog(), 'api.openai.com').length, wire, 'nothing left the machine')
    t.match(await plainSite(), { code: 0, own: true })
    process.kill(pid, 'SIGKILL')
    const end = Date.now() + 15_000
    let again = await call()
    while (!/200$/.test(again.stdout) && Date.now() < end) again = await call()
    t.match(again.stdout, /\n200$/, 'calls work again without anybody doing anything')
  },
)

t.test(
  'SIGKILL of the daemon: providers out of reach at once, the rest works, and nothing is lost',
  async (t) => {
    const stream = JSON.stringify({
      model: 'gpt-4o-mini',
      stream: true,
      messages: [{ role: 'user', content: 'one two three four five six seven eight' }],
    })
    const cut = lab.run('agent1', [
      ...['curl', '-sSN', '-H', `Authorization: Bearer ${key('cut')}`, '-H', 'x-lab: pace=300'],
      ...['-H', 'content-type: application/json', '-d', stream, 'https://api.openai.com/v1/chat/completions'],
    ])
    await new Promise((resolve) => setTimeout(resolve, 900))
    await gateway.kill()
    t.not((await cut).code, 0, 'the stream ends')
    const wire = (await lab.wireLog()).length
    const began = performance.now()
    for (const host of ['api.openai.com', 'api.anthropic.com']) {
      for (const family of ['-4', '-6']) {
        const call = await lab.run('agent2', [
          'curl',
          family,
          '-sS',
          '--max-time',
          '5',
          `https://${host}/v1/models`,
        ])
        t.not(call.code, 0, `${host} ${family}`)
      }
    }
    t.ok(performance.now() - began < 4000, 'refused, not timed out')
    t.equal((await lab.wireLog()).length, wire, 'no provider saw anything')
    t.match(await plainSite(), { code: 0, own: true })
    t.equal((await gateway.cli('status')).code, 3, 'status says that it is not running')

    await gateway.start()
    const rows = await listed((rs) => rs.some((r) => r.outcome === 'interrupted'))
    const interrupted = rows.find((r) => r.outcome === 'interrupted')
    t.match(interrupted, { uid: 4001, provider: 'openai' }, 'the cut exchange is in the log')
    const gaps = await listed((rs) => rs.length > 0, '--kind', 'gap')
    t.ok(
      gaps.some((r) => /supervisor died/.test(String(r.record.cause))),
      'and so is the time without a supervisor',
    )
    const store = await gateway.json('verify', '--offline')
    t.equal(store.verified, true, JSON.stringify(store))
  },
)

t.test(
  'a fence that somebody flushed stands again within a second, and who did it is a record',
  async (t) => {
    t.equal((await lab.run('root', ['nft', 'flush', 'ruleset'])).code, 0)
    const stands = async () =>
      (await lab.run('root', ['nft', 'list', 'table', 'inet', 'aa_fence'])).code === 0
    const end = Date.now() + 1000
    while (!(await stands()) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20))
    t.ok(await stands())
    const lost = (rows: Listed[]) => rows.some((r) => r.record.event === 'ruleset-changed')
    t.ok(lost(await listed(lost, '--kind', 'audit')))
  },
)

t.test('a receipt verifies offline without our state, and a changed one does not', async (t) => {
  const [row] = await list('--kind', 'exchange', '--limit', '1')
  await verified(row?.id ?? '')
  t.equal((await gateway.cli('export', row?.id ?? '', '-o', '/root/receipt.json')).code, 0)
  const known = ['verify', '--receipt', '/root/receipt.json', '--key', gateway.paths.verifierKey]
  const online = await gateway.json(...known)
  t.equal(online.verified, true, JSON.stringify(online))
  const offline = await gateway.json(...known, '--offline')
  t.equal(offline.verified, true)
  const text = readFileSync('/root/receipt.json', 'utf8')
  for (const [from, to] of [
    ['"status\\":200', '"status\\":500'],
    ['index ', 'index 1'],
    ['"root": "', '"root": "f'],
  ] as const) {
    writeFileSync('/root/forged.json', text.replace(from, to))
    t.not(readFileSync('/root/forged.json', 'utf8'), text)
    t.equal(
      (await gateway.cli('verify', '--receipt', '/root/forged.json', '--offline')).code,
      1,
      `changed at ${from}`,
    )
  }
})

t.test('a receipt of several records, with what was said, proves it to who has the key', async (t) => {
  const rows = await list('--kind', 'exchange', '--limit', '3')
  const ids = rows.map(({ id }) => id)
  await Promise.all(ids.map(verified))
  const exported = await gateway.json('export', ...ids, '-o', '/root/several.json', '--with-bodies')
  t.equal((exported.records as unknown[]).length, 3)
  const known = ['verify', '--receipt', '/root/several.json', '--offline', '--key', gateway.paths.verifierKey]
  const { verdict, findings } = (await gateway.json(...known)) as {
    verdict: string
    findings: { check: string; result: string; detail: string }[]
  }
  t.equal(verdict, 'verified')
  const bodies = findings.filter(({ check }) => check.startsWith('body '))
  t.equal(bodies.length, exported.bodies)
  t.ok(bodies.length >= 6 && bodies.every(({ result }) => result === 'proved'), `${bodies.length} parts`)
  const range = await gateway.json('export', `${ids.at(-1)}..${ids[0]}`, '-o', '/root/range.json')
  t.ok((range.records as unknown[]).length >= 3)
  t.equal(
    (await gateway.cli('verify', '--receipt', '/root/range.json', '--offline')).code,
    4,
    'by nobody’s key',
  )
})

t.test(
  'no key that was used stands anywhere below the state directory, the logs, or in the records',
  async (t) => {
    const files = ['/var/lib/agent-anchor', '/var/log/agent-anchor', '/run/agent-anchor'].flatMap((root) =>
      readdirSync(root, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name)),
    )
    t.ok(files.length > 5)
    const records = (await gateway.cli('records', '--json', '--limit', '1000')).stdout
    for (const secret of keys) {
      const forms = [
        secret,
        Buffer.from(secret).toString('hex'),
        Buffer.from(secret).toString('base64').slice(0, -4),
      ]
      for (const form of forms) {
        for (const file of files) if (readFileSync(file).includes(form)) t.fail(`${secret} stands in ${file}`)
        if (records.includes(form)) t.fail(`${secret} stands in the records`)
      }
    }
  },
)
