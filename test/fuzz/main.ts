/**
 * Spoils exchanges, and what the proxy's own parsers read, until told to stop: round after round, each with its own seed, which is printed first.
 *
 * usage: npm run fuzz -- [SEED] [ROUNDS]     a seed repeats that round; without ROUNDS it goes on until interrupted
 */
import { randomInt } from 'node:crypto'
import { fuzz } from './parsers.ts'
import { fuzzWire, WIRES } from './wires.ts'

const CASES = 100_000
const [seed, rounds] = process.argv.slice(2).map(Number)
if ([seed, rounds].some((number) => number !== undefined && !Number.isSafeInteger(number))) {
  console.error('usage: npm run fuzz -- [SEED] [ROUNDS]')
  process.exit(2)
}

for (let round = 0; round < (rounds ?? Number.POSITIVE_INFINITY); round++) {
  const thisSeed = round === 0 && seed !== undefined ? seed : randomInt(2 ** 31)
  process.stdout.write(`seed ${thisSeed}: `)
  const began = performance.now()
  await fuzz(CASES, thisSeed)
  for (const wire of WIRES) fuzzWire(wire, CASES, thisSeed)
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  const { rss } = process.memoryUsage()
  console.log(`${(1 + WIRES.length) * CASES} cases in ${seconds} s, ${Math.round(rss / 2 ** 20)} MiB`)
}
