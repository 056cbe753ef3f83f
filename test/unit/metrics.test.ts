/** Metrics as Prometheus reads them: from a gateway's state, by its command, and on its port. */
import { join } from 'node:path'
import t from 'tap'
import { residentMemory } from '../../daemon/admin/memory.ts'
import { type Measured, metricsText } from '../../daemon/admin/metrics.ts'
import { startMetricsServer } from '../../daemon/admin/metrics-server.ts'
import { processStart, type SupervisorState, writeState } from '../../daemon/supervisor/state-file.ts'
import { NOTHING, Traffic } from '../../daemon/supervisor/traffic.ts'
import { scratch } from './scratch.ts'
import { healthySupervisor } from './status-fixture.ts'

const supervisor = {
  ...healthySupervisor,
  pid: process.pid,
  pidStart: (await processStart(process.pid)) ?? '',
  sensor: { blind: [], drops: 3 },
  traffic: { ...NOTHING, exchanges: 12, refused: 2, holding: 1 },
  children: [{ name: 'recorder', pid: process.pid, state: 'running', restarts: 4 }],
} satisfies SupervisorState
const sizes = { submitted: '9', included: '8', safe: '5', finalized: '2' }
const recorder: Measured['recorder'] = {
  records: 10,
  pending: 1,
  treeSize: '9',
  anchoring: { anchored: '8', lagSeconds: 31, lagLeaves: '2', blocked: 'too late' },
  chain: { chains: [{ name: 'base', sizes, failing: 'no money' }] },
}

/** Samples by name and labels; fails where a line is none of the format's. */
function samples(text: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const line of text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))) {
    const [, name, value] = /^([a-z_]+(?:\{[^{}]*\})?) ([-+0-9.eE]+)$/.exec(line) ?? []
    if (name === undefined) throw new Error(`no sample: ${line}`)
    found.set(name, Number(value))
  }
  return found
}

t.test('counts, lag, chains, health and memory, with names and units that say what they are', async (t) => {
  const health = [{ code: 'chain.unfunded', severity: 'warning', title: 'y', remedy: 'z' }] as const
  const memory = [{ name: 'recorder', bytes: 1024 }]
  const text = await metricsText({ supervisor, recorder, health, memory })
  const found = samples(text)
  const expected = {
    agent_anchor_up: 1,
    agent_anchor_exchanges_total: 12,
    agent_anchor_refusals_total: 2,
    agent_anchor_unrecorded_exchanges_total: 0,
    agent_anchor_holding_answers: 1,
    agent_anchor_anchoring_lag_seconds: 31,
    agent_anchor_anchoring_lag_leaves: 2,
    agent_anchor_anchoring_blocked: 1,
    agent_anchor_ledger_size_leaves: 9,
    'agent_anchor_chain_leaves{chain="base",finality="finalized"}': 2,
    'agent_anchor_chain_failing{chain="base"}': 1,
    'agent_anchor_health_states{severity="warning"}': 1,
    'agent_anchor_health_states{severity="error"}': 0,
    'agent_anchor_resident_memory_bytes{process="recorder"}': 1024,
    'agent_anchor_restarts_total{process="recorder"}': 4,
  }
  for (const [name, value] of Object.entries(expected)) t.equal(found.get(name), value, name)
  for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm))
    t.equal(type === 'counter', name?.endsWith('_total'), `${name} is a ${type}`)
})

t.test('a gateway that is down says so, and nothing that it can’t know', async (t) => {
  const found = samples(await metricsText({ supervisor: undefined, health: [], memory: [] }))
  t.equal(found.get('agent_anchor_up'), 0)
  t.notOk([...found.keys()].some((name) => name.includes('lag')))
})

t.test('counters of a worker that died are kept, what it had open is not', async (t) => {
  const traffic = new Traffic()
  traffic.says('proxy-1', { ...NOTHING, exchanges: 5, connections: 3, holding: 1 })
  traffic.says('proxy-2', { ...NOTHING, exchanges: 1, connections: 2 })
  traffic.ended('proxy-1')
  traffic.says('proxy-1', { ...NOTHING, exchanges: 2, connections: 1 })
  t.match(traffic.total(), { exchanges: 8, connections: 3, holding: 0 })
})

t.test('is served on a port of this machine, and nothing else is', async (t) => {
  const directory = scratch()
  const supervisorState = join(directory, 'supervisor.json')
  await writeState(supervisorState, supervisor)
  const settings = { address: '127.0.0.1', port: 0, supervisorState }
  const server = startMetricsServer(
    settings,
    () => ({ recorder, health: [] }),
    () => {},
  )
  t.teardown(() => server.close())
  while (server.port === undefined) await new Promise((resolve) => setTimeout(resolve, 10))
  const answer = await fetch(`http://127.0.0.1:${server.port}/metrics`)
  t.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  const found = samples(await answer.text())
  t.equal(found.get('agent_anchor_anchoring_lag_seconds'), 31)
  t.ok((found.get('agent_anchor_resident_memory_bytes{process="supervisor"}') ?? 0) > 1 << 20)
  t.equal((await fetch(`http://127.0.0.1:${server.port}/status`)).status, 404)
  t.equal((await fetch(`http://127.0.0.1:${server.port}/metrics`, { method: 'DELETE' })).status, 405)
})

t.test('a process that is gone has no memory', async (t) => {
  const children = [{ name: 'sensor' as const, pid: 2 ** 22 + 1, state: 'running' as const, restarts: 0 }]
  const found = await residentMemory({ ...supervisor, children })
  t.same(
    found.map(({ name }) => name),
    ['supervisor'],
  )
})
