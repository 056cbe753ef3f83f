import { randomInt } from 'node:crypto'
import t from 'tap'
import { fuzzWire, WIRES } from '../fuzz/wires.ts'

for (const wire of WIRES) {
  // Bodies are searched by detectors besides, which takes ten times as long.
  const cases = wire.name === 'bodies that are redacted' ? 20_000 : 100_000
  t.test(
    `${cases} cases of ${wire.name}: an error of their own, or the same in whatever pieces`,
    async (t) => {
      const seed = randomInt(1, 2 ** 31)
      t.doesNotThrow(() => fuzzWire(wire, cases, seed), `npm run fuzz -- ${seed} 1`)
    },
  )
}
