import t from 'tap'
import { statusCode } from '../../cli/commands/status.ts'
import { type LiveState, supervisorHealth } from '../../cli/live-state.ts'
import { ago, statusText } from '../../cli/status-text.ts'
import { NOTHING } from '../../daemon/supervisor/traffic.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'

const now = new Date('2026-01-01T00:10:00Z')
const supervisor: SupervisorState = {
  v: 1,
  version: '1.2.3',
  pid: 42,
  pidStart: '1',
  phase: 'running',
  since: '2026-01-01T00:00:00Z',
  policy: { name: 'standard', hash: 'abcdef0123456789', reloads: 0 },
  vault: 'host key',
  outgrown: [],
  caTooWide: false,
  enforcement: {
    fence: true,
    redirect: true,
    addresses: 9,
    addressesKnown: true,
    uplinks: ['eth0'],
    watched: true,
    openQueues: [],
    egress: true,
  },
  missingAccounts: [],
  sensor: { blind: [], drops: 0 },
  served: [],
  traffic: NOTHING,
  children: [{ name: 'recorder', pid: 43, state: 'running', restarts: 0 }],
}
const live = (state: SupervisorState): LiveState => ({ supervisor: state, health: supervisorHealth(state) })

t.test('healthy is 0, degraded 4, not running 3', async (t) => {
  t.equal(statusCode(live(supervisor)), 0)
  const broken = [
    { ...supervisor, phase: 'starting' as const },
    { ...supervisor, outgrown: ['llm.example'] },
    { ...supervisor, enforcement: { ...supervisor.enforcement, redirect: false } },
    { ...supervisor, enforcement: { ...supervisor.enforcement, fence: false } },
    { ...supervisor, enforcement: { ...supervisor.enforcement, addresses: 0 } },
    { ...supervisor, enforcement: { ...supervisor.enforcement, watched: false } },
    { ...supervisor, enforcement: { ...supervisor.enforcement, egress: false } },
    {
      ...supervisor,
      enforcement: {
        ...supervisor.enforcement,
        openQueues: [{ device: 'eth0', reason: 'another program holds queue 0' }],
      },
    },
    { ...supervisor, sensor: { blind: [{ device: 'nflog:71', reason: 'no pcap' }], drops: 0 } },
    { ...supervisor, missingAccounts: ['user ghost'] },
    { ...supervisor, caTooWide: true },
    {
      ...supervisor,
      children: [{ name: 'recorder', state: 'waiting' as const, restarts: 3, lastExit: 'SIGKILL' }],
    },
  ]
  for (const state of broken) {
    t.equal(statusCode(live(state)), 4)
    t.match(statusText(live(state), now), /ERROR|WARNING/)
  }
  t.equal(statusCode({ health: [] }), 3)
})

t.test('the status is one screen that says what runs and since when', async (t) => {
  const text = statusText(live(supervisor), now)
  t.match(text, /agent-anchor 1\.2\.3 is running for 10 min, pid 42/)
  t.match(text, /redirect stands, fence stands, 9 provider addresses/)
  t.match(text, /rules watched, sensor sees refusals and uplinks \(eth0\)/)
  t.match(text, /healthy$/)
})

t.test('rules that somebody changed and that were restored are a note, not an alarm', async (t) => {
  const lastTamper = { time: now.getTime() - 60_000, by: 'nft', what: 'inet aa_fence: delete table' }
  const state = live({ ...supervisor, enforcement: { ...supervisor.enforcement, lastTamper } })
  t.equal(statusCode(state), 0)
  t.match(statusText(state, now), /nft changed the gateway's rules/)
})

t.test('ages read in the largest sensible unit and are never negative', async (t) => {
  t.same(
    [
      '2026-01-01T00:09:48Z',
      '2026-01-01T00:07:00Z',
      '2025-12-31T19:10:00Z',
      '2025-12-30T00:10:00Z',
      '2027-01-01T00:00:00Z',
    ].map((time) => ago(time, now)),
    ['12 s', '3 min', '5 h', '2 d', '0 s'],
  )
})
