import t from 'tap'
import type { BypassEntry } from '../runner/bypass-report.ts'
import { settle, worthASecondLook } from '../runner/second-look.ts'
import type { SuiteRun } from '../runner/suite.ts'

const run = (failures: Readonly<Record<string, number>>, rest: Partial<SuiteRun> = {}): SuiteRun => ({
  results: Object.entries(failures).map(([name, failed]) => ({
    name,
    passed: 3 - failed,
    failures: Array.from({ length: failed }, (_, i) => `failure ${i} of ${name}`),
    milliseconds: 1,
  })),
  bypasses: [],
  healthCodes: [],
  trust: [],
  problems: [],
  stderr: '',
  ...rest,
})

const entry = (number: number, test: string, result: 'refused' | 'captured'): BypassEntry => ({
  number,
  name: `way ${number}`,
  result,
  assertions: [],
  test,
})

t.test('one or two failed files are looked at again', async (t) => {
  t.same(worthASecondLook(run({ a: 0, b: 1 })), ['b'])
  t.same(worthASecondLook(run({ a: 2, b: 1, c: 0 })), ['a', 'b'])
})

t.test('nothing is looked at again where all passed, more failed, or the run itself broke', async (t) => {
  t.same(worthASecondLook(run({ a: 0 })), [])
  t.same(worthASecondLook(run({ a: 1, b: 1, c: 1 })), [])
  t.same(worthASecondLook(run({ a: 1 }, { problems: ['c gave no result'] })), [])
})

t.test('a file that passes alone counts as passed and is named', async (t) => {
  const { results, unstable } = settle(run({ a: 0, b: 1 }), run({ b: 0 }))
  t.same(
    results.map(({ name, passed, failures }) => [name, passed, failures.length]),
    [
      ['a', 3, 0],
      ['b', 3, 0],
    ],
  )
  t.same(unstable, ['b'])
})

t.test('a file that fails again keeps its first failures', async (t) => {
  const { results, unstable } = settle(run({ b: 2 }), run({ b: 1 }))
  t.equal(results[0]?.failures.length, 2)
  t.same(unstable, [])
})

t.test('a file that gives nothing the second time has failed', async (t) => {
  const { results, unstable } = settle(run({ b: 1 }), run({}, { problems: ['b gave no result'] }))
  t.equal(results[0]?.failures.length, 1)
  t.same(unstable, [])
})

t.test('the ways round of a file are those of the run that counts', async (t) => {
  const first = run({ a: 0, b: 1 }, { bypasses: [entry(1, 'a', 'captured'), entry(2, 'b', 'captured')] })
  const passed = settle(first, run({ b: 0 }, { bypasses: [entry(2, 'b', 'refused')] }))
  t.same(
    passed.bypasses.map(({ number, result }) => [number, result]),
    [
      [1, 'captured'],
      [2, 'refused'],
    ],
  )
  const failed = settle(first, run({ b: 1 }, { bypasses: [entry(2, 'b', 'refused')] }))
  t.same(failed.bypasses, first.bypasses)
})
