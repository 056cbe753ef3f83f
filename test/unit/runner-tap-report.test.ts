import t from 'tap'
import { type FileResult, TapReport } from '../runner/tap-report.ts'

function read(text: string): FileResult[] {
  const report = new TapReport()
  const results = text.split('\n').map((line) => report.push(line))
  return [...results, report.end()].filter((result) => result !== undefined)
}

const good = `TAP version 14
1..2
# Subtest: test/unit/a.test.ts
    # Subtest: one
        ok 1 - x
        # Subtest: nested
            ok 1 - y
            1..1
        ok 2 - nested
        1..2
    ok 1 - one # time=3ms
    
    ok 2 - bare
    1..2
ok 1 - test/unit/a.test.ts # time=1234.5ms
`

t.test('counts the named tests of a file, not what they hold', async (t) => {
  t.same(read(good), [{ name: 'test/unit/a.test.ts', passed: 2, failures: [], milliseconds: 1234.5 }])
})

t.test('keeps a failed test with its diagnosis', async (t) => {
  const [result] = read(`# Subtest: f
    # Subtest: fine
        ok 1 - x
        1..1
    ok 1 - fine
    # Subtest: broken
        not ok 1 - is two
          ---
          diff: |
            -2
          ...
        1..1
    not ok 2 - broken # time=3ms
      ---
      note: |
    ok 7 - spoof
      ...
    1..2
not ok 1 - f # time=2ms
  ---
  exitCode: 1
  ...
`)
  t.equal(result?.passed, 1)
  t.equal(result?.failures.length, 1)
  t.match(result?.failures[0], /broken[\s\S]*-2[\s\S]*not ok 2[\s\S]*spoof/)
  t.notMatch(result?.failures[0], /fine/)
})

t.test('a file that fails without a failed test, or without any test, counts as one failure', async (t) => {
  const crashed = read('# Subtest: f\n    ok 1 - a\nnot ok 1 - f # time=1ms\n  ---\n  exitCode: 7\n  ...\n')
  t.match(crashed, [{ name: 'f', passed: 1, failures: [/exitCode: 7/] }])
  t.match(read('ok 1 - f # SKIP no tests found\n'), [{ passed: 0, failures: [/no tests found/] }])
  t.match(read('# Subtest: f\n    1..0\nok 1 - f # time=1ms\n'), [{ passed: 0, failures: [/ok 1 - f/] }])
  t.match(read('not ok 4 - timeout!\n  ---\n  expired: test/x\n  ...\n'), [
    { failures: [/expired: test\/x/] },
  ])
})

t.test('a test that was skipped or is still to do counts as failed', async (t) => {
  const [result] = read('# Subtest: f\n    ok 1 - a # SKIP\n    ok 2 - b # TODO later\nok 1 - f # time=1ms\n')
  t.match(result, { passed: 0, failures: [/did not run/, /did not run/] })
})

t.test('output that breaks off is a failure', async (t) => {
  t.match(read('# Subtest: f\n    ok 1 - a'), [{ failures: [/.*/] }])
})

t.test('files after each other do not mix', async (t) => {
  const results = read(
    `${good}${good.replace('ok 2 - bare', 'not ok 2 - bare').replaceAll('a.test', 'b.test')}`,
  )
  t.match(results, [
    { name: 'test/unit/a.test.ts', passed: 2, failures: [] },
    { name: 'test/unit/b.test.ts', passed: 1, failures: [/bare/] },
  ])
})
