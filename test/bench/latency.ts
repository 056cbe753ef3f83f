/**
 * What the gateway costs: added latency against direct calls in the same run, time from start to the first captured
 * call, memory of each process. Prints; asserts nothing about time.
 *
 * Direct calls are made under the proxy's uid, the only one that the rules let through: same link, same provider,
 * same client. Direct and captured blocks alternate, so that the machine's drift hits both.
 */
import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'
import { median, quantile } from './statistics.ts'

await enterLab(import.meta.url, { stateOnDisk: true })

const ROUNDS = 5
const SETTINGS = [
  { connections: 1, requests: 500 },
  { connections: 16, requests: 500 },
]

const lab = await startLab({ wireLog: false })
const gateway = await startGateway()
const trust = { NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt' }

async function block(user: string, setting: (typeof SETTINGS)[number]): Promise<number[]> {
  const options = JSON.stringify({ ...setting, host: 'api.openai.com' })
  const run = await lab.run(user, [NODE, `${REPOSITORY}/test/bench/load.ts`, options], {
    env: trust,
    cwd: '/',
    timeoutMs: 120_000,
  })
  if (run.code !== 0) throw new Error(`${user}: ${run.stderr}`)
  return (JSON.parse(run.stdout) as { ms: number[] }).ms
}

const ms = (value: number) => `${value.toFixed(2)} ms`
const say = (text: string) => process.stdout.write(`${text}\n`)

/** Resident set in MB, from proc(5). */
const rss = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024

/** Proportional set size in MB: what processes share is divided among them. */
const pss = (pid: number) =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024

say(
  `machine     ${cpus().length} × ${cpus()[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.version}`,
)

for (const setting of SETTINGS) {
  const direct: number[][] = []
  const captured: number[][] = []
  for (let round = 0; round < ROUNDS; round++) {
    // Taking turns at going first, so that neither always finds the machine warmer.
    const order = round % 2 === 0 ? (['direct', 'captured'] as const) : (['captured', 'direct'] as const)
    for (const kind of order) {
      if (kind === 'direct') direct.push(await block('agent-anchor-proxy', setting))
      else captured.push(await block('agent1', setting))
    }
  }
  const added = (q: number) =>
    median(captured.map((block, i) => quantile(block, q) - quantile(direct[i] ?? [], q)))
  say(
    `latency     ${setting.connections} connection(s), ${setting.requests} requests × ${ROUNDS} rounds, request on disk before it leaves`,
  )
  for (const [name, q] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const) {
    const [d, c] = [direct, captured].map((blocks) => quantile(blocks.flat(), q)) as [number, number]
    say(
      `            ${name}: direct ${ms(d)}, captured ${ms(c)}, added ${ms(added(q))} (× ${(c / d).toFixed(2)})`,
    )
  }
}

const state = await gateway.state()
if (state === undefined) throw new Error('the gateway is gone')
const processes = [{ name: 'supervisor', pid: state.pid }, ...state.children]
const sizes = processes.map(({ name, pid }) => [name, pid === undefined ? 0 : rss(pid)] as const)
say(`memory      ${sizes.map(([name, mb]) => `${name} ${mb.toFixed(0)} MB`).join(', ')}`)
const shared = processes.reduce((total, { pid }) => total + (pid === undefined ? 0 : pss(pid)), 0)
say(
  `            in all ${sizes.reduce((total, [, mb]) => total + mb, 0).toFixed(0)} MB resident after the load, ` +
    `${shared.toFixed(0)} MB with what they share counted once`,
)

await gateway.stop()
const began = performance.now()
await gateway.start()
const first = await lab.run('agent1', [
  'curl',
  '-sS',
  '-H',
  'authorization: Bearer sk-bench',
  'https://api.openai.com/v1/models',
])
if (first.code !== 0) throw new Error(first.stderr)
say(
  `start       ${ms(gateway.startMs)} to "capturing", ${ms(performance.now() - began)} to the end of the first captured call (curl)`,
)

await gateway.stop()
await lab.stop()
