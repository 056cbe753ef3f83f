import { randomInt } from 'node:crypto'
import t from 'tap'
import { fuzzWire, WIRES } from '../fuzz/wires.ts'

const CASES = 100_000

for (const wire of WIRES) {
  t.test(
    `100,000 cases of ${wire.name}: an error of their own, or the same in whatever pieces`,
    async (t) => {
      const seed = randomInt(1, 2 ** 31)
      t.doesNotThrow(() => fuzzWire(wire, CASES, seed), `npm run fuzz -- ${seed} 1`)
    },
  )
}
