import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ALONE, LONGEST, turnsOf } from '../runner/schedule.ts'

const [alone = ''] = ALONE.keys()
const [longest = ''] = LONGEST

t.test('files go together, and those that a neighbour would spoil follow one by one', async (t) => {
  t.same(turnsOf(['a', alone, 'b'], 2), [
    { files: ['a', 'b'], jobs: 2 },
    { files: [alone], jobs: 1 },
  ])
})

t.test('each file runs once, the longest first, the others in their order', async (t) => {
  t.same(turnsOf(['a', 'b', longest], 2), [{ files: [longest, 'a', 'b'], jobs: 2 }])
})

t.test('a turn without files is none', async (t) => {
  t.same(turnsOf([alone], 2), [{ files: [alone], jobs: 1 }])
  t.same(turnsOf([], 2), [])
})

t.test('every file that the schedule names is there', async (t) => {
  for (const file of [...ALONE.keys(), ...LONGEST])
    t.ok(existsSync(join(import.meta.dirname, '../..', file)), file)
})
