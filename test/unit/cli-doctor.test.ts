/** What doctor makes of what it finds on a machine, and what a bundle may say. */
import t from 'tap'
import { createAuthority } from '../../ca/authority.ts'
import { clientEnvironment } from '../../ca/client-environment.ts'
import type { Caller } from '../../cli/doctor/callers.ts'
import { asItComes, type Check } from '../../cli/doctor/check.ts'
import { clockCheck } from '../../cli/doctor/clock.ts'
import { conflicts } from '../../cli/doctor/conflicts.ts'
import { oldProcesses, type Trust } from '../../cli/doctor/old-processes.ts'
import { redacted } from '../../cli/doctor/redact.ts'
import { type Running, runningProcesses } from '../../cli/doctor/running.ts'
import { whyItFailed } from '../../cli/doctor/runtime-calls.ts'
import type { Taken } from '../../daemon/supervisor/authority/history.ts'
import { type Introduced, introducedAt } from '../../daemon/supervisor/authority/introduced.ts'

const variables = clientEnvironment({ certificateFile: '/ca.crt', bundleFile: '/bundle.crt' })
const running = (given: Partial<Running>): Running => ({
  ...{ pid: 7, uid: 1000, name: 'agent', executable: '/usr/bin/node', environment: new Map() },
  startedAt: 200,
  ...given,
})
const trust: Trust = {
  ...{ variables, introduced: { time: 100, first: true, signsFrom: 100 }, callers: [] },
  ...{ own: new Set([4101]), ownPrograms: '/opt/agent-anchor' },
}
const old = (...processes: Running[]) => oldProcesses(processes, trust)

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

t.test('who began before the CA was trusted is named, until it has shown that it trusts it', async (t) => {
  const environment = new Map([['NODE_EXTRA_CA_CERTS', '/x']])
  const since = (startedAt: number, more: Partial<Running> = {}) =>
    running({ startedAt, environment, ...more })
  const named = [{ result: 'attention', remedy: /from a new login/ }]
  const held = [{ result: 'held' }]
  t.match(old(since(99)), [{ ...named[0], detail: /runs since .*; the CA is trusted since/ }])
  t.match(old(since(100)), held)
  const rotated = (introduced: Introduced, callers: readonly Caller[] = []) =>
    ({ ...trust, introduced, callers }) as const
  const soon = { time: 300, first: false }
  t.match(oldProcesses([since(200)], rotated(soon)), [{ detail: /successor, which is to sign, is trusted/ }])
  const signs = { ...soon, signsFrom: 400 }
  t.match(oldProcesses([since(200)], rotated(signs)), [{ detail: /successor, which signs/ }])
  t.match(oldProcesses([since(301)], rotated(signs)), held)

  const agent = { executable: '/opt/agent/bin/agent' }
  t.match(oldProcesses([since(200, agent)], rotated(signs)), held, 'nothing says that it calls anybody')
  const call = { pid: 7, ...agent, time: 250, trusted: true }
  t.match(oldProcesses([since(200, agent)], rotated(signs, [call])), named, 'it called before the change')
  t.match(oldProcesses([since(200, agent)], rotated(signs, [{ ...call, time: 401 }])), held)
  t.match(oldProcesses([since(200, agent)], rotated(signs, [{ ...call, time: 401, trusted: false }])), named)
  t.match(oldProcesses([since(260, agent)], rotated(signs, [call])), held, 'another had its pid then')
})

t.test('the newest CA counts from when every store had it, one that was taken back never', async (t) => {
  const { certificatePem } = await createAuthority({ permittedDomains: ['example.org'], now: new Date(5000) })
  const step = (step: Taken['step'], to: string, time: number): Taken => ({
    ...{ id: '', from: '', note: '', step, to, time: new Date(time).toISOString() },
  })
  t.same(introducedAt([], certificatePem), { time: 5000, first: true, signsFrom: 5000 })
  t.match(introducedAt([step('introduced', 'b', 7)], certificatePem), { first: true })
  const under = [step('introduced', 'b', 7), step('distributed', 'b', 8)]
  t.same(introducedAt(under, certificatePem), { time: 8, first: false })
  const signing = [...under, step('signing', 'b', 9), step('finished', 'b', 10)]
  t.same(introducedAt(signing, certificatePem), { time: 8, first: false, signsFrom: 9 })
  const back = [...signing, step('distributed', 'c', 11), step('aborted', 'c', 12)]
  t.same(introducedAt(back, certificatePem), { time: 8, first: false, signsFrom: 9 })
})

t.test('when a process began is told to the second', async (t) => {
  const own = (await runningProcesses()).find(({ pid }) => pid === process.pid)
  const began = Date.now() - process.uptime() * 1000
  t.ok(Math.abs((own?.startedAt ?? 0) - began) < 2000, `${own?.startedAt} and ${began}`)
})

t.test('the clock is compared with what providers said the time was', async (t) => {
  const heard = (...offs: number[]) =>
    offs.map((off) => ({ server: 'api.openai.com', said: 1_000_000, came: 1_000_500 + off * 1000 }))
  t.match(clockCheck('yes', []), { result: 'held', detail: /network/ })
  t.match(clockCheck('yes', heard(0, 1, -1)), { result: 'held', detail: /within 5 s of api\.openai\.com/ })
  t.match(clockCheck('unknown', heard(1)), { result: 'held' })
  t.match(clockCheck('unknown', []), { result: 'attention' })
  t.match(clockCheck('no', heard(1)), { result: 'attention', remedy: /set-ntp/ })
  const ahead = clockCheck('yes', heard(90, 90, 0))
  t.match(ahead, { result: 'attention', detail: /^90 s ahead of api\.openai\.com/, remedy: /what sets/ })
  t.match(clockCheck('no', heard(-7)), { detail: /^7 s behind/, remedy: /set-ntp/ })
})

t.test('what a runtime says that fails is told from what it means', async (t) => {
  const java = `Exception in thread "main" java.lang.reflect.InvocationTargetException
\tat jdk.compiler/com.sun.tools.javac.launcher.Main.execute(Main.java:484)
Caused by: javax.net.ssl.SSLHandshakeException: PKIX path building failed: unable to find valid certification path`
  t.match(whyItFailed(java), { refuses: /PKIX/ })
  t.match(whyItFailed('x509: certificate signed by unknown authority'), { refuses: /x509/ })
  t.match(whyItFailed('Error: Could not find or load main class Canary.java'), { unknown: /no compiler/ })
  t.match(whyItFailed('IO::Socket::SSL 1.42 must be installed for https support'), { noTls: /./ })
  t.same(whyItFailed('one\nconnection reset\n'), { unknown: 'connection reset' })
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
