import t from 'tap'
import { dueIn } from '../../daemon/chain-writer/checkpoint.ts'
import { verdictOn } from '../../daemon/chain-writer/head-verdict.ts'

const anchoring = { maxDelayMs: 60_000, maxLeaves: 1000 }
const waiting = { anchored: 100n, newest: 101n, since: 5_000, now: 5_000 }
const root = (n: number) => n.toString(16).padStart(64, '0')

t.test('anchors the first checkpoint ever at once', async (t) => {
  t.equal(dueIn({ ...waiting, anchored: 0n, newest: 1n }, anchoring), 0)
})

t.test('anchors when the oldest unanchored leaf has waited long enough', async (t) => {
  t.equal(dueIn(waiting, anchoring), 60_000)
  t.equal(dueIn({ ...waiting, now: 64_999 }, anchoring), 1)
  t.equal(dueIn({ ...waiting, now: 65_000 }, anchoring), 0)
})

t.test('anchors the first leaves of a young log soon, but not one by one', async (t) => {
  const young = { ...waiting, anchored: 31n, newest: 32n }
  t.equal(dueIn(young, anchoring), 2000)
  t.equal(dueIn({ ...young, now: 7_000 }, anchoring), 0)
  t.equal(dueIn({ ...young, anchored: 32n, newest: 33n }, anchoring), 60_000)
  t.equal(dueIn(young, { ...anchoring, maxDelayMs: 1000 }), 1000, 'never later than asked for')
})

t.test('anchors early when many leaves wait', async (t) => {
  t.equal(dueIn({ ...waiting, newest: 1099n }, anchoring), 60_000)
  t.equal(dueIn({ ...waiting, newest: 1100n }, anchoring), 0)
})

t.test('has nothing to anchor when the chain has it all', async (t) => {
  t.equal(dueIn({ ...waiting, newest: 100n }, anchoring), Number.POSITIVE_INFINITY)
  t.equal(dueIn({ ...waiting, anchored: 0n, newest: 0n }, anchoring), Number.POSITIVE_INFINITY)
})

t.test('a clock set back puts no anchor off for more than the delay', async (t) => {
  t.equal(dueIn({ ...waiting, now: -10_000_000 }, anchoring), 60_000)
})

t.test('tells an honest head from a contradiction', async (t) => {
  const newest = { size: 20n, root: root(20), note: '' }
  t.equal(verdictOn({ size: 0n, root: root(0) }, newest, []), 'behind')
  t.equal(verdictOn({ size: 19n, root: root(19) }, newest, []), 'behind')
  t.equal(verdictOn({ size: 20n, root: root(20) }, newest, []), 'anchored')
  t.equal(verdictOn({ size: 20n, root: root(21) }, newest, []), 'equivocation')
  t.equal(verdictOn({ size: 21n, root: root(21) }, newest, []), 'ledger-behind')
  const known = [{ size: '19', root: root(19) }]
  t.equal(verdictOn({ size: 19n, root: root(19) }, newest, known), 'behind')
  t.equal(verdictOn({ size: 19n, root: root(18) }, newest, known), 'equivocation')
  t.equal(verdictOn({ size: 0n, root: root(0) }, { size: 0n, root: root(9), note: '' }, []), 'anchored')
})
