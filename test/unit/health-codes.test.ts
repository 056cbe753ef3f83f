/** docs/operating.md says of each state of health what the closed list says, and knows no other. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { HEALTH_CODES } from '../../daemon/base/health-codes.ts'

const chapter = /^## Health codes$(.*?)^## /ms.exec(readFileSync('docs/operating.md', 'utf8'))?.[1] ?? ''
const rows = [...chapter.matchAll(/^\| `([a-z.-]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)].map(
  ([, code = '', severity = '', meaning = '', remedy = '']) => ({ code, severity, meaning, remedy }),
)

t.test('each code of the list has one row, with its meaning', async (t) => {
  t.same(
    rows.map(({ code, meaning }) => [code, meaning]).sort(),
    Object.entries(HEALTH_CODES).sort(([a], [b]) => (a < b ? -1 : 1)),
  )
})

t.test('each row says how grave it is and what to do', async (t) => {
  for (const { code, severity, remedy } of rows) {
    t.match(severity, /^(error|warning|info)/, code)
    t.match(remedy, /\S/, code)
  }
  t.equal(chapter.match(/^\| `/gm)?.length, rows.length, 'no row that this test can’t read')
})
