import t from 'tap'
import { chainsText } from '../../cli/chain/status.ts'
import { statusCode } from '../../cli/commands/status.ts'
import { type LiveState, supervisorHealth } from '../../cli/live-state.ts'
import { ago, statusText } from '../../cli/status-text.ts'
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

t.test("a chain's contract, owner, authorisation, head and states are on one screen", async (t) => {
  const [gateway, owner, contract] = ['aa', 'bb', 'cc'].map((byte) => `0x${byte.repeat(20)}`)
  const chain = { name: 'base', chainId: 8453, gatewayAddress: gateway, logKey: `0x${'dd'.repeat(32)}` }
  const waiting = {
    ...chain,
    owner,
    contract,
    health: [
      { code: 'chain.not-authorized', severity: 'warning' as const, title: 'it must', remedy: 'do so' },
    ],
  }
  t.equal(
    chainsText([waiting], now),
    `chain       base, id 8453
contract    ${contract}
log         ${chain.logKey}
gateway     ${gateway}
owner       ${owner}
authorised  not seen yet
head        none yet
anchor      none yet
state       it must
            do so`,
  )
  const root = 'ee'.repeat(32)
  const time = '2026-01-01T00:09:00Z'
  const anchored = {
    ...chain,
    owner: gateway,
    label: 'worth nothing',
    currency: 'ETH',
    explorer: 'https://explorer.example',
    funds: { balance: '1500000000000000000' },
    authorization: { policy: 'consistent', until: '2027-01-01T00:00:00Z' },
    head: { size: '5', root },
    anchored: { size: '5', root, block: 7, time, transaction: `0x${root}` },
  }
  t.match(
    chainsText([anchored, waiting], now),
    `chain       base, id 8453 (worth nothing)
contract    none yet
log         ${chain.logKey}
gateway     ${gateway}
balance     1.5 ETH
owner       the gateway itself
authorised  policy consistent, until 2027-01-01T00:00:00Z
head        5 leaves, root ${root}
anchor      5 leaves in block 7, 60 s ago, transaction 0x${root}
            https://explorer.example/tx/0x${root}

chain       base`,
  )
})
