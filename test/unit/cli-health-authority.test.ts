/** Health of the CA by the clock: which state stands when, and what it says to do. */
import t from 'tap'
import { authorityHealth } from '../../cli/health/authority.ts'
import { keysRows } from '../../cli/status/keys-rows.ts'
import type { AuthorityState } from '../../daemon/supervisor/authority/authority-state.ts'
import { healthySupervisor } from './status-fixture.ts'

const certificate = (sha256: string, notBefore: string, notAfter: string) => ({
  sha256: sha256.repeat(64),
  notBefore: `${notBefore}T00:00:00.000Z`,
  notAfter: `${notAfter}T00:00:00.000Z`,
})
const first = certificate('a', '2026-01-01', '2036-01-01')
const second = certificate('b', '2035-12-20', '2045-12-20')
const well: AuthorityState = { certificates: [first], outgrown: [], tooWide: false }
const rotating = (
  step: 'introduced' | 'distributed' | 'signing',
  certificates = [first, second],
): AuthorityState => ({
  ...well,
  certificates,
  rotation: { step, since: '2035-12-20T00:00:00.000Z', due: '2035-12-27T00:00:00.000Z' },
})
const at = (state: AuthorityState, time: string) =>
  authorityHealth(state, new Date(time)).map(({ code, severity }) => `${code} ${severity}`)

t.test('the end of the CA is warned of 30 days ahead, and an error when it is there', (t) => {
  t.same(at(well, '2035-12-01T23:59:59Z'), [])
  t.same(at(well, '2035-12-02T00:00:01Z'), ['ca.expiring warning'])
  t.same(at(well, '2035-12-31T23:59:59Z'), ['ca.expiring warning'])
  t.same(at(well, '2036-01-01T00:00:00Z'), ['ca.expired error'])
  t.end()
})

t.test('a clock before the CA’s beginning is told as that, with the clock in the title', (t) => {
  t.same(at(well, '2025-12-31T23:59:59Z'), ['ca.not-yet-valid error'])
  const [state] = authorityHealth(well, new Date('1970-01-01T00:00:00Z'))
  t.match(state, { title: /clock \(1970-01-01T00:00:00\.000Z\)/, remedy: /timedatectl/ })
  t.end()
})

t.test('a successor that is valid ends warning and error, whichever signs', (t) => {
  t.same(at(rotating('distributed'), '2035-12-24T00:00:00Z'), [])
  t.same(at(rotating('distributed'), '2036-06-01T00:00:00Z'), [], 'it signs for the one that has ended')
  t.same(at(rotating('signing', [second, first]), '2035-12-24T00:00:00Z'), ['ca.former-trusted info'])
  t.same(at(rotating('signing', [second, first]), '2035-12-27T00:00:00Z'), ['ca.former-trusted warning'])
  t.same(at(rotating('introduced'), '2035-12-24T00:00:00Z'), ['ca.not-distributed warning'])
  t.end()
})

t.test('every state names the command that mends it', (t) => {
  const all = [
    ...authorityHealth({ ...well, outgrown: ['x.example'], tooWide: true }, new Date('2036-02-01')),
    ...authorityHealth({ ...well, certificates: [second] }, new Date('2026-01-01')),
    ...authorityHealth(rotating('introduced'), new Date('2035-12-24')),
    ...authorityHealth(rotating('signing'), new Date('2035-12-24')),
    ...authorityHealth(well, new Date('2035-12-24')),
  ]
  t.equal(new Set(all.map(({ code }) => code)).size, 7)
  for (const { code, remedy } of all) t.match(remedy, /agent-anchor trust rotate/, code)
  t.end()
})

t.test('the status says in one row where a rotation stands', (t) => {
  const rows = (ca: AuthorityState) =>
    keysRows(
      {
        supervisor: { ...healthySupervisor, ca },
        running: 'yes',
        health: [],
        authorityUntil: '2036-01-01T00:00:00Z',
      },
      new Date('2035-12-24'),
    ).slice(1)
  t.same(rows(well), [])
  t.match(rows(rotating('introduced')), [['', /not in every trust store yet/]])
  t.match(rows(rotating('distributed')), [['', /successor b{16}… is trusted too, and signs from 2035-12-27/]])
  t.match(rows(rotating('signing', [second, first])), [['', /the former a{16}… is still trusted/]])
  t.end()
})
