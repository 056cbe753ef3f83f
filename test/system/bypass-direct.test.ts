/** Straight to the provider: numbers 1 to 12 of docs/bypass.md, under `standard`. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface, type Interface } from 'node:readline'
import t from 'tap'
import { ANTHROPIC, OPENAI } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import type { Outcome } from '../lab/process.ts'
import { answered, chat, get, httpsCall, inTurn, printed } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { exchange, refusal } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
const { lab } = world
t.teardown(() => world.stop())

const AGENT = 4001
const { address4, address6, name } = OPENAI
const models = `https://${name}/v1/models`

const all = inTurn(world)
const captured = { result: 'captured', saw: 'proxy', counter: 'redirected', client: answered } as const
const byAgent = [exchange({ uid: AGENT, provider: 'openai', status: 200, outcome: 'complete' })]

/** Accounts that some other gateway might have exempted, as this machine has them. */
const exemptLooking = [
  'agent-anchor',
  'agent-anchor-sensor',
  'nobody',
  'daemon',
  'systemd-network',
  '_apt',
  'mail',
]
const accounts = readFileSync('/etc/passwd', 'utf8')
  .split('\n')
  .map((line) => line.split(':'))
  .flatMap(([user = '', , id]) => (exemptLooking.includes(user) ? [{ user, id: Number(id) }] : []))

/** Connections that are older than the gateway. */
const held: { child: ChildProcess; lines: Interface }[] = []

const cases: readonly BypassCase[] = [
  {
    ...captured,
    number: 1,
    traces: 2,
    name: 'curl to api.openai.com over IPv4',
    attempt: () => all('agent1', chat('straight over IPv4', '-4')),
    records: [exchange({ uid: AGENT, provider: 'openai', status: 200, address: address4, port: 443 })],
  },
  {
    ...captured,
    number: 2,
    traces: 2,
    name: 'curl to api.openai.com over IPv6',
    attempt: () => all('agent1', chat('straight over IPv6', '-6')),
    records: [exchange({ uid: AGENT, provider: 'openai', status: 200, address: address6, port: 443 })],
  },
  {
    ...captured,
    number: 3,
    traces: 2,
    name: 'an IPv6 socket to the mapped IPv4 address',
    attempt: () => all('agent1', httpsCall({ address: `::ffff:${address4}`, sni: name, host: name })),
    records: [exchange({ uid: AGENT, provider: 'openai', status: 200, address: address4 })],
  },
  {
    ...captured,
    number: 4,
    traces: 5,
    name: 'TLS on port 8443, plain HTTP on 8080 and 9999 of a provider',
    attempt: () =>
      all(
        'agent1',
        get(`https://${name}:8443/v1/models`, '-4', '-k'),
        get(`http://${name}:9999/v1/models`, '-6'),
        get(`http://${name}:8080/v1/models`, '-4'),
      ),
    client: (t, outcomes) => {
      for (const { stdout } of outcomes)
        t.match(stdout, /^HTTP\/1\.1 502 [\s\S]*agent_anchor/, 'no provider lives there')
    },
    records: [
      exchange({ uid: AGENT, provider: 'openai', port: 8443, address: address4 }),
      exchange({ uid: AGENT, provider: 'openai', port: 9999, address: address6 }),
      exchange({ uid: AGENT, provider: 'openai', port: 8080, address: address4 }),
    ],
  },
  {
    ...captured,
    number: 5,
    traces: 4,
    name: 'a client with the addresses built in',
    attempt: () =>
      all(
        'agent1',
        httpsCall({ address: address4, sni: name, host: name }),
        httpsCall({ address: address6, sni: name, host: name }),
      ),
    records: [
      exchange({ uid: AGENT, provider: 'openai', status: 200, address: address4 }),
      exchange({ uid: AGENT, provider: 'openai', status: 200, address: address6 }),
    ],
  },
  {
    ...captured,
    number: 6,
    traces: 6,
    name: "curl's --resolve and --connect-to",
    attempt: () =>
      all(
        'agent1',
        get(models, '--resolve', `${name}:443:${address4}`),
        get(models, '--connect-to', `${name}:443:[${address6}]:443`),
        get(models, '--connect-to', `${name}:443:${ANTHROPIC.name}:443`),
      ),
    records: [
      exchange({ uid: AGENT, provider: 'openai', status: 200, address: address4 }),
      exchange({ uid: AGENT, provider: 'openai', status: 200, address: address6 }),
      exchange({ uid: AGENT, provider: 'openai', status: 200, mismatch: true }),
    ],
  },
  {
    ...captured,
    number: 7,
    traces: 4,
    name: 'NO_PROXY=* and emptied proxy variables',
    attempt: async () => {
      const emptied = { HTTPS_PROXY: '', https_proxy: '', ALL_PROXY: '', HTTP_PROXY: '', http_proxy: '' }
      const env = { NO_PROXY: '*', no_proxy: '*', ...emptied }
      return [
        await lab.run('agent1', get(models), { env }),
        await lab.run('agent1', get(models, '--noproxy', '*')),
      ]
    },
    records: byAgent,
  },
  {
    ...captured,
    number: 8,
    traces: 4,
    name: 'root, and an agent that became root',
    attempt: () => all('root', get(models), ['/usr/bin/setpriv', '--reuid=0', '--', ...get(models)]),
    records: [exchange({ uid: 0, provider: 'openai', status: 200 })],
  },
  {
    ...captured,
    number: 9,
    traces: 4,
    name: "system accounts, the gateway's own recorder and sensor among them",
    attempt: async () => {
      const outcomes: Outcome[] = []
      for (const { user } of accounts) outcomes.push(await lab.run(user, get(models), { cwd: '/' }))
      return outcomes
    },
    records: accounts.map(({ id }) => exchange({ uid: id, provider: 'openai', status: 200 })),
  },
  {
    number: 12,
    name: 'a connection from before the gateway, used on',
    result: 'refused',
    saw: 'nothing',
    counter: ['refused_tcp'],
    open: false,
    records: [refusal({ uid: AGENT, rule: 'fence-tcp', address: address4, port: 443 })],
    before: async () => {
      for (const address of [address4, address6]) {
        const child = lab.spawnAs('agent1', httpsCall({ address, sni: name, host: name, hold: true }))
        const lines = createInterface({ input: child.stdout! })
        held.push({ child, lines })
        for await (const line of lines) if (line.includes('held')) break
      }
    },
    attempt: async () => {
      const outcomes: Outcome[] = []
      for (const { child } of held) {
        const rest: Buffer[] = []
        child.stdout!.on('data', (chunk: Buffer) => rest.push(chunk))
        child.stdout!.resume()
        child.stdin!.write('again\n')
        const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
        const stdoutBytes = Buffer.concat(rest)
        outcomes.push({ code, signal, stdoutBytes, stdout: stdoutBytes.toString(), stderr: '' })
      }
      return outcomes
    },
    client: (t, outcomes) => {
      for (const outcome of outcomes) {
        t.match(printed<{ error: string }>(outcome)[0]?.error, /ECONNRESET|EPIPE|closed/, 'cut at once')
      }
    },
  },
]

runSuites(world, [{ policy: 'standard', cases }])
