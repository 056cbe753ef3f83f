import t from 'tap'
import type { Health } from '../../daemon/base/health.ts'
import { findHealthProblems, healthComment, readHealthComment } from '../runner/health-report.ts'

t.test('finds the comment at any depth, and nothing else', async (t) => {
  t.equal(readHealthComment(`    # ${healthComment('chain.behind')}`), 'chain.behind')
  t.equal(readHealthComment('    # Subtest: health chain.behind: caused, remedied'), undefined)
  t.equal(readHealthComment('ok 1 - # health chain.behind: caused, remedied'), undefined)
})

t.test('each code that no test caused is named, and each that does not exist', async (t) => {
  const codes: Health['code'][] = ['chain.behind', 'chain.failed']
  t.same(findHealthProblems(new Set(codes), codes), [])
  t.match(findHealthProblems(new Set(['chain.behind']), codes), [/^chain\.failed has no test/])
  t.match(findHealthProblems(new Set([...codes, 'chain.new']), codes), [/^chain\.new is not in/])
  t.not(findHealthProblems(new Set()).length, 0, 'by default the list of the gateway counts')
})
