import { appendFileSync, copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { auditTrail } from '../../daemon/supervisor/audit-trail.ts'
import { type IdentifiedEvidence, openEvidenceJournal } from '../../daemon/supervisor/evidence-journal.ts'

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

t.test('lines that nobody can read are counted and told, the others count', async (t) => {
  const path = join(t.testdir(), 'evidence.jsonl')
  open(path).keep(audit(1))
  appendFileSync(path, '\0\0\0\n{"told":{"type":"start"}}\n{"told":{"type":"stop"}}\n')
  const { left } = open(path, 4000)
  t.match(left, [audit(1), { type: 'gap', cause: 'evidence-unreadable', from: 4000, detail: { lines: 3 } }])
  t.same(open(path, 9000).left, left, 'and that is kept as well')
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
