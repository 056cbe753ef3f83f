import t from 'tap'
import { DEFAULT_CAPS, dynamicFees, legacyFees, replacingFees } from '../../daemon/chain-writer/fees.ts'

const gwei = 10n ** 9n
const caps = { maxFeePerGas: 100n * gwei, maxPriorityFeePerGas: 5n * gwei }

t.test('offers twice the next base fee and the median tip', async (t) => {
  const history = { baseFeePerGas: [8n * gwei, 10n * gwei], reward: [[1n * gwei], [9n * gwei], [2n * gwei]] }
  t.same(dynamicFees(history, caps), { type: 2, maxFeePerGas: 22n * gwei, maxPriorityFeePerGas: 2n * gwei })
})

t.test('clamps the tip between one wei and its cap', async (t) => {
  const history = (tip: bigint) => ({ baseFeePerGas: [gwei], reward: [[tip]] })
  t.match(dynamicFees(history(0n), caps), { maxPriorityFeePerGas: 1n })
  t.match(dynamicFees(history(50n * gwei), caps), { maxPriorityFeePerGas: 5n * gwei })
  t.match(dynamicFees({ baseFeePerGas: [gwei] }, caps), { maxPriorityFeePerGas: 1n })
})

t.test('stays under the cap, and waits where the next block itself is above it', async (t) => {
  t.match(dynamicFees({ baseFeePerGas: [80n * gwei], reward: [[gwei]] }, caps), { maxFeePerGas: 100n * gwei })
  t.throws(() => dynamicFees({ baseFeePerGas: [100n * gwei], reward: [[gwei]] }, caps), {
    code: 'FEES_TOO_HIGH',
  })
  t.throws(() => legacyFees(101n * gwei, caps), { code: 'FEES_TOO_HIGH' })
  t.same(legacyFees(100n * gwei, caps), { type: 0, gasPrice: 100n * gwei })
})

t.test('raises both fields by an eighth to replace, or to what is asked now', async (t) => {
  const before = { type: 2, maxFeePerGas: 1000n, maxPriorityFeePerGas: 1n } as const
  const low = { type: 2, maxFeePerGas: 10n, maxPriorityFeePerGas: 1n } as const
  t.same(replacingFees(before, low, caps), { type: 2, maxFeePerGas: 1125n, maxPriorityFeePerGas: 2n })
  const high = { type: 2, maxFeePerGas: 5000n, maxPriorityFeePerGas: 700n } as const
  t.same(replacingFees(before, high, caps), high)
  t.same(replacingFees({ type: 0, gasPrice: 8n }, { type: 0, gasPrice: 8n }, DEFAULT_CAPS), {
    type: 0,
    gasPrice: 9n,
  })
  const dear = { type: 2, maxFeePerGas: 99n * gwei, maxPriorityFeePerGas: 1n } as const
  t.throws(() => replacingFees(dear, low, caps), { code: 'FEES_TOO_HIGH' })
})
