import t from 'tap'
import { ago } from '../../cli/ago.ts'
import { chainsText } from '../../cli/chain/status.ts'
import { statusCode } from '../../cli/commands/status.ts'
import { supervisorHealth } from '../../cli/health/supervisor.ts'
import type { LiveState } from '../../cli/live-state.ts'
import { chainLines } from '../../cli/status/chain-lines.ts'
import { statusText } from '../../cli/status/text.ts'
import type { SupervisorState } from '../../daemon/supervisor/state-file.ts'
import { healthySupervisor } from './status-fixture.ts'

const now = new Date('2026-01-01T00:10:00Z')
const supervisor = healthySupervisor
const live = (state: SupervisorState): LiveState => ({
  supervisor: state,
  running: 'yes',
  health: supervisorHealth(state),
})

t.test('healthy is 0, degraded 4, not running 3', async (t) => {
  t.equal(statusCode(live(supervisor)), 0)
  const broken = [
    { ...supervisor, phase: 'starting' as const },
    { ...supervisor, ca: { ...supervisor.ca, outgrown: ['llm.example'] } },
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
    { ...supervisor, ca: { ...supervisor.ca, tooWide: true } },
    {
      ...supervisor,
      children: [{ name: 'recorder' as const, state: 'waiting' as const, restarts: 3, lastExit: 'SIGKILL' }],
    },
  ]
  for (const state of broken) {
    t.equal(statusCode(live(state)), 4)
    t.match(statusText(live(state), now), /ERROR|WARNING/)
  }
  t.equal(statusCode({ running: 'no', health: [] }), 3)
})

t.test('the status is one screen that says what runs and since when', async (t) => {
  const text = statusText(live(supervisor), now)
  t.match(text, /^OK: calls to LLM providers are captured and recorded, or refused\n/)
  t.match(text, /agent-anchor 1\.2\.3 is running for 10 min, pid 42/)
  t.match(text, /redirect stands \(owned\), fence stands\n +9 provider addresses/)
  t.match(text, /rules watched, sensor sees refusals, eth0/)
})

t.test('rules that somebody changed and that were restored are a note, not an alarm', async (t) => {
  const lastTamper = { time: now.getTime() - 60_000, by: 'nft', what: 'inet aa_fence: delete table' }
  const state = live({ ...supervisor, enforcement: { ...supervisor.enforcement, lastTamper } })
  t.equal(statusCode(state), 0)
  t.match(statusText(state, now), /nft changed the gateway's rules/)
})

t.test('where strangers are served stands in the status, and why not', async (t) => {
  const listen = '0.0.0.0:8480'
  const well = live({ ...supervisor, served: [{ name: 'log-server', listen }] })
  t.equal(statusCode(well), 0)
  t.match(statusText(well, now), /served +log-server on 0\.0\.0\.0:8480/)
  const taken = live({
    ...supervisor,
    served: [{ name: 'log-server', listen, why: 'another program has this port' }],
  })
  t.match(taken.health, [{ code: 'log-server.not-listening', severity: 'warning' }])
  t.match(statusText(taken, now), /NOT on 0\.0\.0\.0:8480: another program has this port/)
})

t.test('too few witnesses are a warning, another history at one of them an error', async (t) => {
  const fine = { name: 'a', alarm: false }
  const silent = { name: 'b', error: 'no answer in time', alarm: false }
  const cosigning = { atLeast: 1, size: '12', time: '2026-01-01T00:09:48Z', witnesses: [fine, silent] }
  const enough = live({ ...supervisor, cosigning })
  t.same(enough.health, [])
  t.match(statusText(enough, now), /witnessed +12 leaves, 12 s ago, by at least 1 of 2 witnesses/)
  const few = live({ ...supervisor, cosigning: { ...cosigning, atLeast: 2 } })
  t.match(few.health, [{ code: 'witness.too-few', severity: 'warning', title: /b: no answer in time/ }])
  const contradicted = { name: 'b', error: 'it has cosigned another root for 12 leaves', alarm: true }
  const alarmed = live({ ...supervisor, cosigning: { ...cosigning, witnesses: [fine, contradicted] } })
  t.match(alarmed.health, [{ code: 'witness.contradiction', severity: 'error' }])
  const none = live({ ...supervisor, cosigning: { atLeast: 1, witnesses: [fine] } })
  t.match(statusText(none, now), /witnessed +nothing yet/)
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
      {
        code: 'chain.not-authorized' as const,
        severity: 'warning' as const,
        title: 'it must',
        remedy: 'do so',
      },
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
anchor      base: none yet
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
    funds: { balance: '1500000000000000000', spentToday: '0' },
    authorization: { policy: 'consistent', until: '2027-01-01T00:00:00Z' },
    head: { size: '5', root },
    anchored: { size: '5', root, block: 7, time, transaction: `0x${root}` },
  }
  t.match(
    chainsText([anchored, waiting], now),
    `chain       base, id 8453
contract    none yet
log         ${chain.logKey}
gateway     ${gateway}
owner       the gateway itself
authorised  policy consistent, until 2027-01-01T00:00:00Z
head        5 leaves, root ${root}
anchor      base: 5 leaves in block 7, 60 s ago (worth nothing)
            https://explorer.example/tx/0x${root}
            1.5 ETH; 0 ETH spent today

chain       base`,
  )
})

t.test('a public chain shows its finality, its explorer, and for how long its money lasts', async (t) => {
  const anchored = {
    size: '1234',
    root: 'ab',
    block: 7,
    time: '2026-01-01T00:07:00Z',
    transaction: '0xabcd',
    finality: 'finalized',
  }
  const base = {
    name: 'base',
    anchored,
    currency: 'ETH',
    explorer: 'https://basescan.org',
    gatewayAddress: '0x01',
  }
  const money = { balance: '31200000000000000', spentToday: '400000000000000', lastAnchor: '3000000000000' }
  const rows = (chain: Parameters<typeof chainLines>[0]) => chainLines(chain, now)
  t.same(rows({ ...base, funds: { ...money, budget: '10000000000000000' } }), [
    'base: 1234 leaves in block 7, finalized, 3 min ago',
    'https://basescan.org/tx/0xabcd',
    '0.0312 ETH, enough for about 10,000 anchors; 0.0004 of 0.01 ETH spent today',
  ])
  t.same(rows({ name: 'base', funds: { spentToday: '0' }, waitingSince: '2026-01-01T00:09:30Z' }), [
    'base: none yet; newer ones wait for 30 s',
    'the account was not asked for yet; 0 coins spent today',
  ])
  const label = 'development chain: no independent evidence'
  t.same(rows({ name: 'development', anchored, label, waitingSince: '2026-01-01T00:09:30Z' }), [
    `development: 1234 leaves in block 7, 3 min ago (${label})`,
  ])
})
