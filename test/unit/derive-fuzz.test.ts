import { randomInt } from 'node:crypto'
import t from 'tap'
import { fuzz } from '../fuzz/parsers.ts'

const CASES = 100_000
const MAX_GROWTH = 1 << 30

t.test('100,000 spoiled exchanges and sessions over all parsers: a valid, small answer each', async (t) => {
  const seed = randomInt(2 ** 31)
  const before = process.memoryUsage.rss()
  await t.resolves(fuzz(CASES, seed), `npm run fuzz -- ${seed} 1`)
  t.ok(process.memoryUsage.rss() - before < MAX_GROWTH, 'in bounded memory')
})
