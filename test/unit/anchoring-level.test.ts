/** Which level a leaf has reached: properties over any state of log, witnesses and chains. */
import fc from 'fast-check'
import t from 'tap'
import {
  type ChainSizes,
  LEVELS,
  type Level,
  levelOf,
  type Quorum,
  reachedSize,
  type Standing,
} from '../../daemon/anchoring/level.ts'

const size = fc.bigInt({ min: 0n, max: 50n })
const chain: fc.Arbitrary<ChainSizes> = fc.record({
  submitted: size,
  included: size,
  safe: size,
  finalized: size,
})
const standing: fc.Arbitrary<Standing> = fc.record({
  local: size,
  checkpointed: size,
  witnessed: fc.option(size, { nil: undefined }),
  chains: fc.array(chain, { maxLength: 4 }),
})
const quorum = fc.oneof(
  fc.constantFrom<Quorum>('any', 'all'),
  fc.integer({ min: 1, max: 4 }).map((k): Quorum => k),
)
const level = fc.constantFrom<Level>(...LEVELS)

/** One part of it grown by some leaves. */
const grown = fc.tuple(standing, fc.nat({ max: 20 }), fc.nat({ max: 2 })).map(([before, by, what]) => {
  const more = BigInt(by)
  const after: Standing =
    what === 0
      ? { ...before, local: before.local + more, checkpointed: before.checkpointed + more }
      : what === 1
        ? { ...before, witnessed: before.witnessed === undefined ? undefined : before.witnessed + more }
        : { ...before, chains: before.chains.map((one) => ({ ...one, finalized: one.finalized + more })) }
  return { before, after }
})

t.test('a level never covers more than the ones before it, but where no witness is configured', async () => {
  fc.assert(
    fc.property(standing, quorum, (at, quorum) => {
      const levels = LEVELS.filter((one) => one !== 'witnessed' || at.witnessed !== undefined)
      const sizes = levels.map((one) => reachedSize(at, one, quorum))
      return sizes.every((one, i) => i === 0 || one <= (sizes[i - 1] as bigint))
    }),
  )
})

t.test('what grows takes no leaf back', async () => {
  fc.assert(
    fc.property(
      grown,
      level,
      quorum,
      ({ before, after }, level, quorum) =>
        reachedSize(before, level, quorum) <= reachedSize(after, level, quorum),
    ),
  )
})

t.test('a quorum of k has what k chains have, and no more', async () => {
  fc.assert(
    fc.property(
      fc.array(chain, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 5 }),
      (chains, k) => {
        const at = { local: 99n, checkpointed: 99n, witnessed: undefined, chains }
        const reached = reachedSize(at, 'finalized', k)
        const having = chains.filter(({ finalized }) => finalized >= reached).length
        const beyond = chains.filter(({ finalized }) => finalized > reached).length
        return k > chains.length ? reached === 0n : having >= k && beyond < k
      },
    ),
  )
})

t.test('any is one of them, all is every one', async () => {
  fc.assert(
    fc.property(standing, level, ({ chains, ...rest }, level) => {
      const at = { ...rest, chains }
      return (
        reachedSize(at, level, 'any') === reachedSize(at, level, 1) &&
        reachedSize(at, level, 'all') === reachedSize(at, level, Math.max(1, chains.length))
      )
    }),
  )
})

t.test('the level of a leaf is the highest that covers it', async () => {
  fc.assert(
    fc.property(standing, quorum, size, (at, quorum, leaf) => {
      const reached = levelOf(leaf, at, quorum)
      const covered = LEVELS.filter((one) => leaf < reachedSize(at, one, quorum))
      return reached === covered.at(-1)
    }),
  )
})

t.test('without a chain, or without a witness, nothing is at the levels that need one', async (t) => {
  const at: Standing = { local: 5n, checkpointed: 5n, witnessed: undefined, chains: [] }
  t.equal(reachedSize(at, 'submitted', 'all'), 0n)
  t.equal(reachedSize(at, 'witnessed', 'all'), 0n)
  t.equal(levelOf(4n, at, 'all'), 'checkpointed')
  t.equal(levelOf(5n, at, 'all'), undefined)
})

t.test('what is final is included too, whichever answer of the chain came first', async (t) => {
  const chain = { submitted: 0n, included: 2n, safe: 0n, finalized: 4n }
  const at: Standing = { local: 9n, checkpointed: 9n, witnessed: undefined, chains: [chain] }
  t.equal(reachedSize(at, 'included', 'all'), 4n)
})
