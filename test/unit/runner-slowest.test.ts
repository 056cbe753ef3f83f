import t from 'tap'
import { slowestText } from '../runner/slowest.ts'

t.test('the ten that took longest, the longest first', async (t) => {
  const timed = Array.from({ length: 12 }, (_, i) => ({ name: `file-${i}`, milliseconds: i * 1500 }))
  const lines = slowestText(timed).trim().split('\n')
  t.equal(lines.length, 11)
  t.match(lines[1], /^ +16\.5 s {2}file-11$/)
  t.match(lines[10], /^ +3\.0 s {2}file-2$/)
})
