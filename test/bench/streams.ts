/**
 * What the gateway does to streams: the way of each event, paced at 20 ms, against direct ones in the same run.
 * Prints; asserts nothing about time. Direct calls are made as in latency.ts.
 */
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
import { NODE, REPOSITORY } from '../lab/places.ts'
import { median, quantile } from './statistics.ts'

await enterLab(import.meta.url, { stateOnDisk: true })

const ROUNDS = 6
const EVENTS = 150
const PACE_MS = 20
const WARM_UP = 6
const USERS = { direct: 'agent-anchor-proxy', captured: 'agent1' } as const

const lab = await startLab({ wireLog: false })
const gateway = await startGateway()
const say = (text: string) => process.stdout.write(`${text}\n`)

interface Heard {
  readonly ms: number[]
  readonly reads: number
}

async function listen(user: string): Promise<Heard> {
  const options = JSON.stringify({ host: 'api.openai.com', events: EVENTS, paceMs: PACE_MS })
  const run = await lab.run(user, [NODE, `${REPOSITORY}/test/bench/listen.ts`, options], {
    env: { NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt' },
    cwd: '/',
    timeoutMs: 60_000,
  })
  if (run.code !== 0) throw new Error(`${user}: ${run.stderr}`)
  return JSON.parse(run.stdout) as Heard
}

// Not counted: code that ran never before is slow on both sides, and which worker takes a stream is chance.
for (let i = 0; i < WARM_UP; i++) for (const user of Object.values(USERS)) await listen(user)

const heard = { direct: [] as Heard[], captured: [] as Heard[] }
for (let round = 0; round < ROUNDS; round++) {
  const order = round % 2 === 0 ? (['direct', 'captured'] as const) : (['captured', 'direct'] as const)
  for (const kind of order) heard[kind].push(await listen(USERS[kind]))
}
/** Of all but the first event: that one comes with the head, of a connection and for code that just woke up. */
const values = (kind: keyof typeof heard) => heard[kind].flatMap(({ ms }) => ms.slice(1))
const firsts = (kind: keyof typeof heard) => heard[kind].map(({ ms }) => ms[0]!)
const direct = values('direct')
const captured = values('captured')
const figure = (value: number) => `${value.toFixed(2)} ms`
say(
  `streams     ${ROUNDS} rounds of ${EVENTS} words, an event each ${PACE_MS} ms, each with its time of sending`,
)
for (const [name, q] of [
  ['p50', 0.5],
  ['p99', 0.99],
] as const) {
  const [d, c] = [quantile(direct, q), quantile(captured, q)]
  say(`            ${name}: direct ${figure(d)}, captured ${figure(c)}, added ${figure(c - d)}`)
}
{
  const [d, c] = [median(firsts('direct')), median(firsts('captured'))]
  say(
    `            the first event of a stream, median: direct ${figure(d)}, captured ${figure(c)}, added ${figure(c - d)}`,
  )
}
const bound = quantile(direct, 0.99) + 1
const late = (all: readonly number[]) => all.filter((ms) => ms > bound).length
say(
  `            later than direct p99 + 1 ms (${figure(bound)}): ${late(captured)} of ${captured.length} captured events, ${late(direct)} of ${direct.length} direct ones`,
)
for (const [kind, all] of Object.entries(heard)) {
  const events = all.map(({ ms }) => ms.length)
  const reads = all.map(({ reads }) => reads)
  say(
    `            ${kind}: ${median(events)} events a stream, ${median(reads)} reads: lost ${Math.max(...events) - Math.min(...events)}, merged ${events.reduce((sum, count, i) => sum + count - reads[i]!, 0)}`,
  )
}
await gateway.stop()
await lab.stop()
