/** Every change to the bytes of the evidence journal is told, and every line that is whole counts. */
import t from 'tap'
import { type IdentifiedEvidence, lineChain, readEvidence } from '../../daemon/supervisor/evidence-lines.ts'

const evidence = (n: number): IdentifiedEvidence => ({
  ...{ type: 'audit', id: `00000000-0000-7000-8000-00000000000${n}`, time: n, event: 'ruleset-changed' },
  detail: { what: 'a rule "sum":"" with a \n line feed, ümlauts and \ud800', count: n },
})
const format = lineChain()
const lines = [1, 2, 3, 4].map((n) =>
  format(n === 2 ? { draft: evidence(n), open: true } : { told: evidence(n) }),
)
const whole = Buffer.concat(lines)
const offsets = lines.map((_, i) => Buffer.concat(lines.slice(0, i)).length)

const read = (bytes: Buffer) => {
  const { held, faults, torn } = readEvidence(bytes)
  return {
    times: [...held.values()].map(({ evidence }) => 'time' in evidence && evidence.time),
    faults,
    torn,
  }
}

t.test('what was written is read as it was written', async (t) => {
  t.same(
    [...readEvidence(whole).held.values()],
    [
      { evidence: evidence(1), open: false },
      { evidence: evidence(2), open: true },
      { evidence: evidence(3), open: false },
      { evidence: evidence(4), open: false },
    ],
  )
  t.same(read(whole), { times: [1, 2, 3, 4], faults: [], torn: false })
  t.same(read(Buffer.concat([whole, format({ recorded: [evidence(2).id] })])).times, [1, 3, 4])
  t.same(read(Buffer.alloc(0)), { times: [], faults: [], torn: false })
})

t.test('each bit that flips is found in its line, and the other lines count', async (t) => {
  for (let at = 0; at < whole.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 1 << bit
      const { times, faults, torn } = read(bytes)
      const line = offsets.findLastIndex((offset) => offset <= at)
      // Where the line feed went, two lines have become one.
      const spoilt = bytes[at] !== 0x0a && whole[at] === 0x0a ? [line + 1, line + 2] : [line + 1]
      const expected = [1, 2, 3, 4].filter((n) => !spoilt.includes(n))
      const found = faults[0]?.offset === offsets[line] && !torn
      if (!found || String(times) !== String(expected))
        t.fail(`byte ${at} bit ${bit}: ${JSON.stringify({ times, faults, torn })}`)
    }
  }
})

t.test(
  'a line that was taken out, doubled or put elsewhere is found; all that is there counts',
  async (t) => {
    const [one, two, three, four] = lines as [Buffer, Buffer, Buffer, Buffer]
    const orders = [
      ...[
        [two, three, four],
        [one, three, four],
        [one, two, four],
      ],
      ...[
        [two, one, three, four],
        [one, three, two, four],
        [one, two, four, three],
      ],
      ...[[one, one, two, three, four], [four]],
    ]
    for (const order of orders) {
      const { times, faults } = read(Buffer.concat(order))
      t.ok(faults.length > 0)
      t.same(new Set(times), new Set(order.map((line) => lines.indexOf(line) + 1)))
    }
    const other = lineChain()
    other({ told: evidence(5) })
    const foreign = other({ told: evidence(2) })
    t.match(
      read(Buffer.concat([one, foreign, three])).faults,
      [{ offset: one.length }, {}],
      'one of another file',
    )
  },
)

t.test('a cut at the end is what a power loss leaves, wherever it falls', async (t) => {
  for (let size = 0; size < whole.length; size++) {
    const { times, faults, torn } = read(whole.subarray(0, size))
    // A line that lacks its line feed only is whole.
    const complete = offsets.filter((_, i) => offsets[i]! + lines[i]!.length - 1 <= size).length
    const cut = complete < 4 && size > offsets[complete]!
    if (faults.length > 0 || torn !== cut || times.length !== complete)
      t.fail(`cut to ${size}: ${JSON.stringify({ times, faults, torn })}`)
  }
  t.match(read(Buffer.concat([whole, Buffer.alloc(4096)])), { times: [1, 2, 3, 4], faults: [], torn: true })
})
