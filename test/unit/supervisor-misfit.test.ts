/** Which CA a further install replaces. */
import t from 'tap'
import { createAuthority } from '../../ca/authority.ts'
import { misfit } from '../../daemon/supervisor/authority/misfit.ts'

const DAY_MS = 86_400_000
const domains = ['openai.com']
const now = new Date()
const born = (years: number, days: number) => {
  const date = new Date(now.getTime() + days * DAY_MS)
  date.setUTCFullYear(date.getUTCFullYear() - years)
  return date
}

t.test('a CA that has run out, ends soon or is not valid yet is ended, and no other', async (t) => {
  for (const [when, ended] of [
    [now, false],
    [born(8, 0), false],
    [born(9, 10), false],
    [born(9, -10), true],
    [born(10, -1), true],
    [born(0, 2), true],
  ] as const) {
    const authority = await createAuthority({ permittedDomains: domains, now: when })
    t.same(
      misfit({ inOrder: [authority], rotation: undefined }, domains, now),
      { outgrown: [], tooWide: false, ended },
      when.toISOString(),
    )
  }
})
