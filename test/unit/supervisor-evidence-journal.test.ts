import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { auditTrail } from '../../daemon/supervisor/audit-trail.ts'
import { evidenceFault, evidenceSetAside } from '../../daemon/supervisor/evidence-damage.ts'
import { openEvidenceJournal } from '../../daemon/supervisor/evidence-journal.ts'
import type { IdentifiedEvidence } from '../../daemon/supervisor/evidence-lines.ts'

const quiet = { error: () => quiet as never }
const id = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`
const audit = (n: number, count = 1): IdentifiedEvidence => ({
  ...{ type: 'audit', id: id(n), time: 1000 + n, event: 'ruleset-changed' },
  detail: { by: 'nft', count },
})
const gap = (n: number, from: number): IdentifiedEvidence => ({
  ...{ type: 'gap', id: id(n), cause: 'sensor-blind', from, to: from },
})
const open = (path: string, endedAt?: number, rewriteAt?: number) =>
  openEvidenceJournal({ path, endedAt, log: quiet, ...(rewriteAt === undefined ? {} : { rewriteAt }) })

/** What the next process would find now. */
const leftIn = (path: string, endedAt?: number) => {
  copyFileSync(path, `${path}.copy`)
  return open(`${path}.copy`, endedAt).left
}

t.test(
  'what a killed process had not got into the log is there for the next, and for the one after',
  async (t) => {
    const path = join(t.testdir(), 'evidence.jsonl')
    const first = open(path)
    t.same(first.left, [])
    for (const n of [1, 2, 3]) first.keep(audit(n))
    first.recorded([id(2)])
    const second = open(path)
    t.same(second.left, [audit(1), audit(3)])
    second.recorded([id(1)])
    t.same(open(path).left, [audit(3)])
    t.equal(statSync(path).mode & 0o777, 0o600)
  },
)

t.test('what was still counted is told as it stood, once', async (t) => {
  const path = join(t.testdir(), 'evidence.jsonl')
  const first = open(path)
  first.draft(audit(1, 1))
  first.draft(audit(1, 7))
  first.draft(audit(2, 1))
  first.keep(audit(2, 4))
  t.same(open(path).left, [audit(1, 7), audit(2, 4)])
})

t.test('a span that was open ends when its process was last alive, and not before it began', async (t) => {
  const path = join(t.testdir(), 'evidence.jsonl')
  const first = open(path)
  first.draft(gap(1, 5000), true)
  first.draft(gap(2, 9000), true)
  first.draft(gap(3, 100))
  t.match(open(path, 8000).left, [
    { id: id(1), from: 5000, to: 8000 },
    { id: id(2), from: 9000, to: 9000 },
    { id: id(3), from: 100, to: 100 },
  ])
  t.match(open(path, 20_000).left[0], { to: 8000 }, 'a third process moves no end')
})

t.test('the file comes to nothing once all is in the log, and is written anew where it grows', async (t) => {
  const path = join(t.testdir(), 'evidence.jsonl')
  const journal = open(path, undefined, 2000)
  for (let n = 1; n <= 50; n++) journal.keep(audit(n))
  t.equal(leftIn(path).length, 50)
  journal.recorded([...Array(49)].map((_, n) => id(n + 1)))
  for (let n = 0; n < 500; n++) journal.draft(audit(50, n))
  t.ok(statSync(path).size < 25_000, 'the old drafts are gone')
  t.same(leftIn(path), [audit(50, 499)])
  journal.recorded([id(50)])
  t.equal(statSync(path).size, 0)
  journal.keep(audit(51))
  t.same(leftIn(path), [audit(51)])
})

t.test('damage is told as a gap, once, and the file is kept; what can be read counts', async (t) => {
  const path = join(t.testdir(), 'evidence.jsonl')
  const first = open(path)
  for (const n of [1, 2, 3]) first.keep(audit(n))
  const [one, two, three] = readFileSync(path, 'utf8').split(/(?<=\n)/) as [string, string, string]
  const damaged = `${one}${two.replace('nft', 'nfs')}${three}\0\0\0\n{"told":{"type":"start"}}\n`
  writeFileSync(path, damaged)
  t.match(evidenceFault(path, true), { offset: one.length, what: 'a line is not what was written' })
  const said: string[] = []
  const log = { error: (line: string) => void said.push(line) } as never
  const { left } = openEvidenceJournal({ path, endedAt: 4000, log })
  const what = 'a line is not what was written'
  t.match(left, [
    audit(1),
    audit(3),
    { type: 'gap', cause: 'evidence-unreadable', from: 4000, detail: { lines: 3, what } },
  ])
  t.match(said, [`${path} was damaged at byte ${one.length}: ${what}`])
  t.equal(readFileSync(evidenceSetAside(path) ?? '', 'utf8'), damaged)
  t.equal(evidenceFault(path, true), undefined, 'the new file is whole')
  t.same(open(path, 9000).left, left, 'and the gap is kept as well')
  writeFileSync(path, 'again\n')
  open(path)
  t.equal(readFileSync(`${path}.damaged`, 'utf8'), `${damaged}again\n`, 'the next behind the last')
})

t.test('a last line that was cut short is told, and is no damage', async (t) => {
  const path = join(t.testdir(), 'evidence.jsonl')
  const first = open(path)
  for (const n of [1, 2]) first.keep(audit(n))
  writeFileSync(path, readFileSync(path).subarray(0, -20))
  t.equal(evidenceFault(path, true), undefined)
  const { left } = open(path, 4000)
  const detail = { lines: 1, what: 'the last line was cut short' }
  t.match(left, [audit(1), { type: 'gap', cause: 'evidence-unreadable', detail }])
  t.equal(evidenceSetAside(path), undefined)
})

t.test('a file that is gone is damage where a gateway has run', async (t) => {
  const path = join(t.testdir(), 'evidence.jsonl')
  t.equal(evidenceFault(path, false), undefined)
  t.match(evidenceFault(path, true), { what: 'it is missing' })
  t.match(open(path, 4000).left, [{ cause: 'evidence-unreadable', detail: { what: 'it is missing' } }])
  t.ok(evidenceSetAside(path))
  const fresh = join(t.testdir(), 'evidence.jsonl')
  t.same(open(fresh).left, [], 'not at the first start')
})

t.test('a disk that takes nothing keeps nothing from being told', async (t) => {
  const path = join(t.testdir({ file: '' }), 'file', 'evidence.jsonl')
  const said: string[] = []
  const journal = openEvidenceJournal({
    path,
    endedAt: undefined,
    log: { error: (line: string) => void said.push(line) } as never,
  })
  const sent: object[] = []
  const trail = auditTrail((message) => sent.push(message) > 0, { journal })
  trail.write('start', {})
  trail.write('stop', {})
  t.match(sent, [{ event: 'start' }, { event: 'stop' }])
  t.equal(said.length, 1, 'and that is said once')
})

t.test('the trail sends what was left before all else, under its ids, until it is in the log', async (t) => {
  const path = join(t.testdir(), 'evidence.jsonl')
  writeFileSync(path, '')
  open(path).keep(audit(1))
  const sent: IdentifiedEvidence[] = []
  const state = { listens: false }
  const send = (message: object) => {
    if (state.listens) sent.push(message as IdentifiedEvidence)
    return state.listens
  }
  const trail = auditTrail(send, { journal: open(path) })
  trail.write('start', {})
  state.listens = true
  trail.flush()
  t.match(sent, [audit(1), { event: 'start' }])
  t.equal(leftIn(path).length, 2)
  trail.recorded(sent.map(({ id }) => id))
  t.equal(readFileSync(path, 'utf8'), '')
})

t.test('an overflow survives as the gap that it will be', async (t) => {
  const path = join(t.testdir(), 'evidence.jsonl')
  const trail = auditTrail(() => false, { journal: open(path), mostWaiting: 1 })
  for (const event of ['one', 'two', 'three']) trail.write(event, {})
  t.match(leftIn(path), [{ event: 'one' }, { cause: 'evidence-overflow', detail: { audit: 2 } }])
})
