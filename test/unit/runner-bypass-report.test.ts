import t from 'tap'
import {
  type BypassEntry,
  bypassJson,
  bypassMarkdown,
  findProblems,
  readBypassComment,
} from '../runner/bypass-report.ts'

const list = new Map([
  [1, 'directly'],
  [2, 'by `pipes` | and more'],
])
const all = ['provider', 'record', 'counter', 'control']
const one: BypassEntry = { number: 1, name: 'curl', result: 'captured', assertions: all, test: 'a.test.ts' }
const two: BypassEntry = { number: 2, name: 'a|b', result: 'not-run', reason: 'no kernel', test: 'b.test.ts' }

t.test('finds the comment at any depth, and nothing else', async (t) => {
  t.same(readBypassComment(`        # bypass ${JSON.stringify(one)}`), one)
  t.equal(readBypassComment('    # Subtest: 1: bypass {}'), undefined)
  t.equal(readBypassComment('ok 1 - # bypass {}'), undefined)
})

t.test('a whole list has no problems', async (t) => t.same(findProblems([two, one], list), []))

t.test('each problem is named', async (t) => {
  t.same(findProblems([one], list), ['2 (by `pipes` | and more) has no test'])
  t.same(findProblems([one, two, one], list), ['1 (curl) comes twice'])
  const half = { ...one, assertions: ['provider', 'control'] }
  t.same(findProblems([half, two], list), ['1 (curl) lacks: record, counter'])
  t.same(findProblems([one, { ...two, reason: '' }], list), ['2 (a|b) was not run and does not say why'])
  t.same(findProblems([one, two, { ...one, number: 7 }], list), ['7 (curl) is not on the list'])
})

t.test('the documents are sorted and the same whatever the order', async (t) => {
  t.equal(bypassJson([two, one]), bypassJson([one, two]))
  t.equal(bypassMarkdown([two, one], list), bypassMarkdown([one, two], list))
  t.same(JSON.parse(bypassJson([two, one])), [
    { number: 1, name: 'curl', result: 'captured', test: 'a.test.ts' },
    { number: 2, name: 'a|b', result: 'not-run', reason: 'no kernel', test: 'b.test.ts' },
  ])
  const text = bypassMarkdown([two, one], list)
  t.match(text, '0 refused, 1 captured, 1 not run.')
  t.match(text, '| 1 | directly | curl | captured | `a.test.ts` |')
  t.match(text, '| 2 | by `pipes` \\| and more | a\\|b | not run: no kernel | `b.test.ts` |')
})
