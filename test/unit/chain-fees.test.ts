import fc from 'fast-check'
import t from 'tap'
import {
  affordable,
  DEFAULT_CAPS,
  dynamicFees,
  type Fees,
  highest,
  inCoins,
  legacyFees,
  replacingFees,
} from '../../daemon/chain-writer/fees.ts'
import { laneSettings, units } from '../../daemon/chain-writer/lane-settings.ts'
import { allSpent, nextDay, spentToday, withCost } from '../../daemon/chain-writer/spending.ts'

const gwei = 10n ** 9n
const caps = { maxFeePerGas: 100n * gwei, maxPriorityFeePerGas: 5n * gwei }
const quoteOf = (fees: Fees) => ({ fees, least: 1n })
const noon = Date.parse('2026-01-02T12:00:00Z')

t.test('offers twice the next base fee and the median tip', async (t) => {
  const history = { baseFeePerGas: [8n * gwei, 10n * gwei], reward: [[1n * gwei], [9n * gwei], [2n * gwei]] }
  t.same(dynamicFees(history, caps), {
    fees: { type: 2, maxFeePerGas: 22n * gwei, maxPriorityFeePerGas: 2n * gwei },
    least: 12n * gwei,
  })
})

t.test('clamps the tip between one wei and its cap', async (t) => {
  const history = (tip: bigint) => ({ baseFeePerGas: [gwei], reward: [[tip]] })
  t.match(dynamicFees(history(0n), caps).fees, { maxPriorityFeePerGas: 1n })
  t.match(dynamicFees(history(50n * gwei), caps).fees, { maxPriorityFeePerGas: 5n * gwei })
  t.match(dynamicFees({ baseFeePerGas: [gwei] }, caps).fees, { maxPriorityFeePerGas: 1n })
})

t.test('stays under the cap, and waits where the next block itself is above it', async (t) => {
  const near = dynamicFees({ baseFeePerGas: [80n * gwei], reward: [[gwei]] }, caps)
  t.match(near.fees, { maxFeePerGas: 100n * gwei })
  t.throws(() => dynamicFees({ baseFeePerGas: [100n * gwei], reward: [[gwei]] }, caps), {
    code: 'FEES_TOO_HIGH',
  })
  t.throws(() => legacyFees(101n * gwei, caps), { code: 'FEES_TOO_HIGH' })
  t.same(legacyFees(100n * gwei, caps).fees, { type: 0, gasPrice: 100n * gwei })
})

t.test('raises both fields by an eighth to replace, or to what is asked now', async (t) => {
  const before = { type: 2, maxFeePerGas: 1000n, maxPriorityFeePerGas: 1n } as const
  const low = quoteOf({ type: 2, maxFeePerGas: 10n, maxPriorityFeePerGas: 1n })
  t.same(replacingFees(before, low, caps).fees, { type: 2, maxFeePerGas: 1125n, maxPriorityFeePerGas: 2n })
  const high = { type: 2, maxFeePerGas: 5000n, maxPriorityFeePerGas: 700n } as const
  t.same(replacingFees(before, quoteOf(high), caps).fees, high)
  const legacy = { type: 0, gasPrice: 8n } as const
  t.same(replacingFees(legacy, quoteOf(legacy), DEFAULT_CAPS).fees, { type: 0, gasPrice: 9n })
  const dear = { type: 2, maxFeePerGas: 99n * gwei, maxPriorityFeePerGas: 1n } as const
  t.throws(() => replacingFees(dear, low, caps), { code: 'FEES_TOO_HIGH' })
})

const wei = fc.bigInt(1n, 10n ** 12n)
const feesArbitrary: fc.Arbitrary<Fees> = fc.oneof(
  fc.tuple(wei, wei).map(([a, b]) => ({ type: 2, maxFeePerGas: a + b, maxPriorityFeePerGas: b }) as const),
  wei.map((gasPrice) => ({ type: 0, gasPrice }) as const),
)
const wide = { maxFeePerGas: 10n ** 30n, maxPriorityFeePerGas: 10n ** 30n }

t.test('a replacement is at least an eighth above in every field, whatever is asked now', async () => {
  fc.assert(
    fc.property(feesArbitrary, feesArbitrary, wei, (before, fresh, least) => {
      const { fees, least: floor } = replacingFees(before, { fees: fresh, least }, wide)
      const eighth = (a: bigint, b: bigint) => a * 1000n >= b * 1125n
      if (floor > highest(fees) && floor > least) return false
      if (fees.type === 2 && before.type === 2) {
        return (
          eighth(fees.maxFeePerGas, before.maxFeePerGas) &&
          eighth(fees.maxPriorityFeePerGas, before.maxPriorityFeePerGas) &&
          fees.maxPriorityFeePerGas <= fees.maxFeePerGas
        )
      }
      return eighth(highest(fees), highest(before))
    }),
  )
})

t.test('what is signed never costs more than an anchor or the day may, at its worst', async () => {
  const bill = fc.record({
    gasLimit: fc.bigInt(21_000n, 2_000_000n),
    l1Fee: fc.bigInt(0n, 10n ** 16n),
    anchor: fc.boolean(),
    spent: fc.bigInt(0n, 10n ** 18n),
    now: fc.constant(noon),
  })
  const money = fc.option(fc.bigInt(0n, 10n ** 18n), { nil: undefined })
  fc.assert(
    fc.property(
      feesArbitrary,
      fc.bigInt(0n, 100n),
      bill,
      money,
      money,
      (fees, percent, bill, anchor, day) => {
        const least = (highest(fees) * percent) / 100n
        const limits = {
          ...wide,
          ...(anchor === undefined ? {} : { maxPerAnchor: anchor }),
          ...(day === undefined ? {} : { maxPerDay: day }),
        }
        const needed = bill.gasLimit * least + bill.l1Fee
        let result: ReturnType<typeof affordable>
        try {
          result = affordable({ fees, least }, bill, limits)
        } catch (error) {
          // Only where what the next block takes is beyond a limit.
          const { code } = error as { code: string }
          if (code === 'FEES_TOO_HIGH') return bill.anchor && anchor !== undefined && needed > anchor
          return code === 'OVER_BUDGET' && day !== undefined && bill.spent + needed > day
        }
        const most = bill.gasLimit * highest(result.fees) + bill.l1Fee
        return (
          most === result.cost &&
          highest(result.fees) >= least &&
          highest(result.fees) <= highest(fees) &&
          (!bill.anchor || anchor === undefined || most <= anchor) &&
          (day === undefined || bill.spent + most <= day)
        )
      },
    ),
  )
})

t.test('over budget says until when, and what to do where waiting is no use', async (t) => {
  const bill = { gasLimit: 100_000n, l1Fee: 0n, anchor: true, spent: 9n * 10n ** 15n, now: noon }
  const offer = { fees: { type: 0, gasPrice: 20n * gwei } as const, least: 20n * gwei }
  t.throws(() => affordable(offer, bill, { ...caps, maxPerDay: 10n ** 16n }), {
    code: 'OVER_BUDGET',
    message: /0\.009 of the day's 0\.01 .* waits until 2026-01-03T00:00:00\.000Z/,
  })
  t.throws(() => affordable(offer, bill, { ...caps, maxPerDay: 10n ** 15n }), {
    code: 'OVER_BUDGET',
    remedy: /Raise `fees.maxPerDay`/,
  })
  t.throws(() => affordable(offer, bill, { ...caps, maxPerAnchor: 10n ** 15n }), {
    code: 'FEES_TOO_HIGH',
    message: /an anchor would cost 0\.002, the cap is 0\.001/,
  })
  const deployment = { ...bill, anchor: false }
  t.equal(affordable(offer, deployment, { ...caps, maxPerAnchor: 10n ** 15n }).cost, 2n * 10n ** 15n)
})

t.test('a day begins with nothing spent; a clock that was set back gives no second budget', async (t) => {
  const first = withCost(undefined, { wei: 5n, anchor: true }, noon)
  t.same(first, { day: '2026-01-02', wei: '5', lastAnchor: '5' })
  const second = withCost(first, { wei: 7n, anchor: false }, noon + 1)
  t.same(second, { day: '2026-01-02', wei: '12', lastAnchor: '5' })
  t.equal(spentToday(second, noon), 12n)
  const midnight = nextDay(noon).getTime()
  t.equal(spentToday(second, midnight - 1), 12n)
  t.equal(spentToday(second, midnight), 0n)
  t.equal(spentToday(second, noon - 5 * 86_400_000), 12n)
  t.same(withCost(second, { wei: 1n, anchor: false }, noon - 5 * 86_400_000).day, '2025-12-28')
  t.equal(spentToday(undefined, noon), 0n)
  t.equal(spentToday(allSpent(99n, noon), noon), 99n)
})

t.test('reads amounts exactly and never above what is written', async (t) => {
  t.equal(units('1', 18), 10n ** 18n)
  t.equal(units('0.000000000000000001', 18), 1n)
  t.equal(units('2.5', 9), 2_500_000_000n)
  t.equal(units('0.0000000019', 9), 1n)
  t.equal(inCoins(0n), '0')
  t.equal(inCoins(10n ** 18n), '1')
  t.equal(inCoins(1234n * 10n ** 12n), '0.001234')
  t.equal(inCoins(123n * 10n ** 10n), '0.0000012')
})

t.test('takes the settings of a chain from the configuration, then from its network', async (t) => {
  const base = { name: 'b', kind: 'rpc' as const, chainId: 8453, rpc: ['http://x'] }
  t.match(laneSettings(base), {
    feeModel: { type: 'l1-oracle' },
    percentile: 50,
    confirmations: Number.POSITIVE_INFINITY,
    caps: DEFAULT_CAPS,
    currency: 'ETH',
    explorer: 'https://basescan.org',
    label: undefined,
  })
  const fees = {
    percentile: 90,
    maxGwei: '2',
    maxPerAnchor: '0.001',
    maxPerDay: '0.1',
    model: 'legacy',
  } as const
  t.match(laneSettings({ ...base, fees, confirmations: 3, explorer: 'https://e.example' }), {
    feeModel: { type: 'legacy' },
    percentile: 90,
    confirmations: 3,
    caps: { maxFeePerGas: 2n * gwei, maxPerAnchor: 10n ** 15n, maxPerDay: 10n ** 17n },
    explorer: 'https://e.example',
  })
  t.match(laneSettings({ ...base, chainId: 424242 }), { confirmations: 12, feeModel: { type: 'eip1559' } })
  t.match(laneSettings({ ...base, chainId: 11155111 }), { label: /test network/ })
  t.match(laneSettings({ name: 'd', kind: 'development', port: 1 }), { label: /no independent evidence/ })
})
