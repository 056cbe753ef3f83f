import t from 'tap'
import { readTrustComment, type TrustEntry, trustJson, trustMarkdown } from '../runner/trust-report.ts'

const node = { suite: 'bookworm', runtime: 'Node 20', version: '20.1' } as const
const works: TrustEntry = { ...node, entry: 'cron', result: 'works', needs: 'VARIABLE (/etc/environment)' }
const fails: TrustEntry = {
  ...node,
  entry: '`sudo`',
  result: 'fails',
  needs: 'VARIABLE (env_file)',
  why: 'sudo forgets',
}
const curl: TrustEntry = {
  ...{ suite: 'trixie', runtime: 'curl', version: '8.1' },
  ...{ entry: 'cron', result: 'works', needs: 'system store' },
}
const obeyed: TrustEntry = { ...node, constraints: 'obeyed' }
const careless: TrustEntry = {
  ...{ suite: 'trixie', runtime: 'Java', version: '21' },
  constraints: 'passed over',
}

t.test('finds the comment at any depth, and nothing else', async (t) => {
  t.same(readTrustComment(`    # trust ${JSON.stringify(works)}`), works)
  t.equal(readTrustComment('    # Subtest: trust {}'), undefined)
  t.equal(readTrustComment('ok 1 - # trust {}'), undefined)
})

t.test('the data are the calls, by suite, and of one made twice the later', async (t) => {
  const again: TrustEntry = { ...works, result: 'fails', why: 'another reason' }
  t.same(JSON.parse(trustJson([curl, obeyed, works, fails])), [works, fails, curl])
  t.same(JSON.parse(trustJson([again, works])), [works])
})

t.test('the document has a row a runtime, and names what does not work', async (t) => {
  const text = trustMarkdown([works, fails, curl, obeyed, careless])
  t.match(text, "1 of 3 don't work:\n\n- Node 20, `sudo` (bookworm): sudo forgets\n")
  t.match(text, '| runtime | version | cron | `sudo` | needs |\n')
  t.match(text, '| Node 20 | 20.1 | yes | NO | VARIABLE |\n')
  t.match(text, '| curl | 8.1 | yes | system store |\n')
  t.match(text, 'cron: /etc/environment; `sudo`: env_file.')
})

t.test('the document says who passes over the constraints', async (t) => {
  t.match(trustMarkdown([works, obeyed]), 'All refuse it.')
  const text = trustMarkdown([works, obeyed, careless])
  t.match(text, 'All refuse it but Java.')
  t.match(text, '| runtime | bookworm | trixie |\n')
  t.match(text, '| Java |  | passed over (21) |\n')
})
