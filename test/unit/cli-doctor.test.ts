/** What doctor makes of what it finds on a machine, and what a bundle may say. */
import t from 'tap'
import { clientEnvironment } from '../../ca/client-environment.ts'
import { asItComes, type Check } from '../../cli/doctor/check.ts'
import { conflicts } from '../../cli/doctor/conflicts.ts'
import { oldProcesses } from '../../cli/doctor/old-processes.ts'
import { redacted } from '../../cli/doctor/redact.ts'
import type { Running } from '../../cli/doctor/running.ts'

const variables = clientEnvironment({ certificateFile: '/ca.crt', bundleFile: '/bundle.crt' })
const running = (given: Partial<Running>): Running => ({
  ...{ pid: 7, uid: 1000, name: 'agent', executable: '/usr/bin/node', environment: new Map() },
  ...given,
})
const old = (...processes: Running[]) =>
  oldProcesses(processes, variables, new Set([4101]), '/opt/agent-anchor')

t.test('a program without its variables is named with what starts it again', async (t) => {
  const [unit] = old(running({ unit: 'agent.service' }))
  t.match(unit, {
    result: 'attention',
    detail: /agent \(pid 7, uid 1000, agent\.service\).*NODE_EXTRA_CA_CERTS/,
    remedy: 'sudo systemctl restart agent.service',
  })
  t.match(old(running({})), [{ remedy: /from a new login/ }])
  const many = old(...Array.from({ length: 23 }, (_, pid) => running({ pid })))
  t.equal(many.length, 21)
  t.match(many.at(-1), { detail: 'and 3 more' })
})

t.test('who has them, needs none or is the gateway’s own is not named', async (t) => {
  const held = [{ result: 'held' }]
  t.match(old(running({ environment: new Map([['NODE_EXTRA_CA_CERTS', '/x']]) })), held)
  t.match(old(running({ executable: '/usr/bin/curl' })), held)
  t.match(old(running({ uid: 4101 })), held)
  t.match(old(running({ executable: '/opt/agent-anchor/node' })), held)
})

t.test('tools that get in the way are named, and programs that call through a proxy', async (t) => {
  t.match(conflicts([running({})]), [{ check: 'other tools', result: 'held' }])
  t.match(conflicts([running({ name: 'warp-svc' }), running({ name: 'firewalld' })]), [
    { check: 'beside firewalld', result: 'held' },
    { check: 'beside Cloudflare WARP', result: 'attention', remedy: /./ },
  ])
  const secret = 'http://user:word@proxy.example:3128'
  const found = conflicts([running({ environment: new Map([['HTTPS_PROXY', secret]]) })])
  t.match(found, [{ check: 'proxies of others', result: 'attention', detail: /agent, pid 7/ }])
  t.notMatch(JSON.stringify(found), 'word')
})

t.test('what ends first is told first', async (t) => {
  const first = Promise.withResolvers<void>()
  async function* late(): AsyncGenerator<Check> {
    await first.promise
    yield { check: 'late', result: 'held', detail: '' }
  }
  async function* early(): AsyncGenerator<Check> {
    yield { check: 'early', result: 'held', detail: '' }
    first.resolve()
    yield { check: 'early too', result: 'held', detail: '' }
  }
  const told: string[] = []
  for await (const { check } of asItComes([late(), early()])) told.push(check)
  t.equal(told[0], 'early')
  t.same(told.toSorted(), ['early', 'early too', 'late'])
})

t.test('secrets are taken out of a text, and what helps stays', async (t) => {
  const secret = 's3cr3tS3cr3tS3cr3t'
  for (const text of [
    `rpc: ['https://mainnet.example/v3/${secret}']`,
    `https://name:${secret}@host.example/`,
    `https://host.example?key=${secret}`,
    `authorization: Bearer ${secret}`,
    `passphrase: "${secret} and more"`,
    `OPENAI_API_KEY=sk-${secret}`,
    `{"token": "${secret}"}`,
    `sk-ant-${secret}`,
    `eyJhbGciOiJIUzI1NiJ9.${secret}.${secret}`,
    `-----BEGIN EC PRIVATE KEY-----\n${secret}\n-----END EC PRIVATE KEY-----`,
    `-----BEGIN PRIVATE KEY-----\n${secret}`,
  ])
    t.notMatch(redacted(text), secret, text)
  t.match(redacted(`rpc: ['https://mainnet.example/v3/${secret}']`), 'mainnet.example')
  const plain =
    'policy: strict\n  listen: 127.0.0.1:8480\nroot 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c'
  t.equal(redacted(plain), plain)
})
