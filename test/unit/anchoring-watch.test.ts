/** The recorder's watch over anchoring: who is let go when, who may begin, how far the chains are behind. */
import t from 'tap'
import { LeafAges } from '../../daemon/anchoring/leaf-ages.ts'
import { standingOf } from '../../daemon/chain-writer/chain-standing.ts'
import type { ChainWriterState } from '../../daemon/chain-writer/chain-writer-state.ts'
import { AnchoringWatch } from '../../daemon/recorder/anchoring/anchoring-watch.ts'
import type { AnchoringStart } from '../../daemon/recorder/anchoring/settings.ts'
import type { Admission } from '../../daemon/recorder/protocol.ts'

const base: AnchoringStart = {
  preset: 'strict',
  acknowledge: 'included',
  onFailure: 'block',
  quorum: 'all',
  maxHoldMs: 10_000,
  maxLagMs: 60_000,
  counted: ['one'],
  trial: false,
}

/** A watch with a clock of its own. */
function watched(
  settings: Partial<AnchoringStart> = {},
  { size = 0n, old }: { size?: bigint; old?: number } = {},
) {
  let now = 1_000_000
  const admissions: Admission[] = []
  const reached: number[] = []
  const watch = new AnchoringWatch({
    settings: { ...base, ...settings },
    size,
    timeOf: () => old,
    now: () => now,
    admission: (admission) => admissions.push(admission),
  })
  const holder = { reply: (_type: number, exchange: number) => void reached.push(exchange) }
  return {
    watch,
    admissions,
    reached,
    holder,
    pass(ms: number) {
      now += ms
      watch.look()
    },
    chains(...sizes: (number | 'down')[]) {
      const chains = sizes.map((one, i) => ({
        name: ['one', 'two', 'three'][i],
        ...(one === 'down'
          ? { failing: 'no money', sizes: { submitted: '0', included: '0', safe: '0', finalized: '0' } }
          : { sizes: { submitted: String(one), included: String(one), safe: '0', finalized: '0' } }),
      }))
      watch.chains({ type: 'state', chains, health: [] } as unknown as ChainWriterState, false)
    },
  }
}

t.test('an answer is let go when a tree with its record is on the chains, and not before', async (t) => {
  const { watch, holder, reached, chains } = watched()
  watch.answers.hold('a', holder, 7, 1_000_000)
  watch.recorded(['a'], 3n)
  watch.checkpoint(3n)
  chains(2)
  t.same(reached, [])
  chains(3)
  t.same(reached, [7])
  t.equal(watch.answers.count, 0)
})

t.test('a record that reached the chains before it was asked for is told at once', async (t) => {
  const { watch, holder, reached, chains } = watched({ acknowledge: 'checkpointed' })
  chains(0)
  watch.checkpoint(5n)
  watch.answers.hold('a', holder, 1, 1_000_000)
  watch.recorded(['a'], 4n)
  t.same(reached, [1])
})

t.test('two of three: the third may be dead', async (t) => {
  const settings = { quorum: 2, counted: ['one', 'two', 'three'] } as const
  const { watch, holder, reached, chains, admissions } = watched({
    ...settings,
    counted: [...settings.counted],
  })
  watch.answers.hold('a', holder, 1, 1_000_000)
  watch.recorded(['a'], 1n)
  watch.checkpoint(1n)
  chains(1, 0, 'down')
  t.same([reached, admissions], [[], []])
  chains(1, 1, 'down')
  t.same([reached, admissions], [[1], []])
  chains('down', 1, 'down')
  t.match(admissions, [{ refused: /no money/ }])
  chains(1, 1, 'down')
  t.same(admissions[1], {})
})

t.test('an answer that waits for witnesses is not let go because the chains are late', async (t) => {
  const witnesses = { atLeast: 1, keys: ['unused here'] }
  const { watch, holder, reached, chains, pass } = watched({
    acknowledge: 'witnessed',
    onFailure: 'queue',
    witnesses,
  })
  watch.recorded(['before'], 1n)
  watch.checkpoint(1n)
  watch.witnessed(1n)
  chains(0)
  pass(50_000)
  watch.answers.hold('a', holder, 1, 1_050_000)
  watch.recorded(['a'], 2n)
  watch.checkpoint(2n)
  t.same(reached, [], 'the first leaf is on no chain, but the witnesses have it')
  watch.witnessed(2n)
  t.same(reached, [1])
  watch.answers.hold('b', holder, 2, 1_050_000)
  watch.recorded(['b'], 3n)
  watch.checkpoint(3n)
  pass(10_001)
  t.same(reached, [1, 2], 'let go where the witnesses themselves are late')
})

t.test('a proxy that is gone is told nothing', async (t) => {
  const { watch, holder, reached, chains } = watched()
  watch.answers.hold('a', holder, 1, 1_000_000)
  watch.recorded(['a'], 1n)
  watch.answers.gone(holder)
  watch.checkpoint(1n)
  chains(1)
  t.same(reached, [])
})

t.test('block: refuses at once where anchoring fails, and when answers were held in vain', async (t) => {
  const { watch, admissions, chains, pass } = watched()
  chains(0)
  watch.recorded([], 1n)
  watch.checkpoint(1n)
  pass(9_000)
  t.same(admissions, [])
  pass(2_000)
  t.match(admissions, [{ refused: /11 s old, 10 s are allowed/ }])
  chains(1)
  t.same(admissions[1], {}, 'and goes on by itself')
  chains('down')
  t.match(admissions[2], { refused: /no money/ })
})

t.test('block-after: refuses once the lag is there, whatever the chains say', async (t) => {
  const { watch, admissions, chains, pass } = watched({ onFailure: { blockAfterMs: 30_000 } })
  watch.recorded([], 1n)
  chains('down')
  pass(29_000)
  t.same(admissions, [])
  pass(2_000)
  t.match(admissions, [{ refused: /31 s old/ }])
  t.match(watch.health(), [{ code: 'anchoring.blocked', severity: 'error' }])
})

t.test('queue: refuses never, degrades past the objective, and holds nobody in vain', async (t) => {
  const { watch, holder, reached, admissions, chains, pass } = watched({ onFailure: 'queue' })
  chains('down')
  watch.answers.hold('a', holder, 1, 1_000_000)
  watch.recorded(['a'], 1n)
  pass(9_000)
  t.same(reached, [])
  pass(2_000)
  t.same(reached, [1], 'waiting longer is not worth it')
  t.same(watch.health(), [])
  pass(60_000)
  t.match(watch.health(), [{ code: 'anchoring.lag', severity: 'warning', title: /71 s old \(1 wait\)/ }])
  t.same(admissions, [])
})

t.test('the lag is that of the oldest leaf without an anchor, and survives a restart', async (t) => {
  const { watch, chains, pass } = watched({}, { size: 5n, old: 400_000 })
  chains(3)
  watch.checkpoint(5n)
  t.match(watch.state(), { lagSeconds: 600, lagLeaves: '2', anchored: '3' })
  chains(5)
  t.match(watch.state(), { lagSeconds: 0, lagLeaves: '0' })
  watch.recorded([], 6n)
  pass(4_000)
  watch.recorded([], 7n)
  pass(1_000)
  t.match(watch.state(), { lagSeconds: 5, lagLeaves: '2' })
  watch.checkpoint(7n)
  chains(6)
  t.match(watch.state(), { lagSeconds: 1, lagLeaves: '1' })
})

t.test('the chain-writer itself is down: nothing can be anchored', async (t) => {
  const { watch, admissions } = watched()
  watch.chains(undefined, true)
  t.match(admissions, [{ refused: /chain-writer/ }])
})

t.test('what never comes to be recorded is not kept for ever', async (t) => {
  const { watch, holder, pass } = watched()
  watch.answers.hold('a', holder, 1, 1_000_000)
  pass(60_000)
  t.equal(watch.answers.count, 0)
})

t.test('leaf ages: exact at first, and older rather than younger when marks are given up', async (t) => {
  const ages = new LeafAges(10n)
  t.equal(ages.since(9n), undefined, 'not of this start')
  for (let i = 0; i < 20_000; i++) ages.grew(BigInt(11 + i), i)
  for (const leaf of [10n, 500n, 20_000n]) {
    const since = ages.since(leaf) as number
    t.ok(since <= Number(leaf) - 10, `leaf ${leaf}: ${since}`)
  }
  ages.forget(15_000n)
  t.ok((ages.since(15_000n) as number) <= 14_990)
  t.ok((ages.since(20_009n) as number) > 14_000)
})

t.test(
  'a chain has at a level what it has beyond it; one that contradicts the log has nothing',
  async (t) => {
    const anchors = [
      { size: '3', finality: 'finalized' },
      { size: '5', finality: 'safe' },
      { size: '9', finality: 'included' },
    ] as const
    const of = { anchors, pending: '12', health: [], contradicts: false }
    t.same(standingOf(of), { sizes: { submitted: '12', included: '9', safe: '5', finalized: '3' } })
    const warning = { code: 'chain.unfunded', severity: 'warning', title: 'no money', remedy: '' } as const
    t.equal(standingOf({ ...of, health: [warning] }).failing, 'no money')
    const alarm = { ...warning, code: 'chain.equivocation', severity: 'error' } as const
    t.match(standingOf({ ...of, health: [alarm] }).sizes, { submitted: '0', included: '0', finalized: '0' })
    t.equal(standingOf({ ...of, health: [{ ...warning, code: 'chain.lost-anchors' }] }).failing, undefined)
    t.equal(standingOf({ ...of, health: [{ ...warning, severity: 'info' }] }).failing, undefined)
  },
)

t.test('where witnesses are configured, a block without them is not enough', async (t) => {
  const { watch, holder, reached, chains } = watched({ witnesses: { keys: ['k'], atLeast: 1 } })
  watch.answers.hold('a', holder, 1, 1_000_000)
  watch.recorded(['a'], 1n)
  watch.checkpoint(1n)
  chains(1)
  t.same(reached, [])
  watch.witnessed(1n)
  t.same(reached, [1])
})
