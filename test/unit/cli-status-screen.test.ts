/** The status' text as screens of several widths show it, from one healthy gateway and from sick ones. */
import { stripVTControlCharacters } from 'node:util'
import t from 'tap'
import { bySeverity } from '../../cli/health/by-severity.ts'
import { supervisorHealth } from '../../cli/health/supervisor.ts'
import type { LiveState } from '../../cli/live-state.ts'
import { statusText } from '../../cli/status/text.ts'
import { verdictOf } from '../../cli/status/verdict.ts'
import { frame } from '../../cli/status/watch-screen.ts'
import { lookOf } from '../../cli/terminal.ts'
import { healthyRecorder, healthySupervisor } from './status-fixture.ts'

const now = new Date('2026-01-01T00:10:00Z')
const healthy: LiveState = {
  supervisor: healthySupervisor,
  recorder: healthyRecorder,
  authorityUntil: '2035-12-01T00:00:00.000Z',
  running: 'yes',
  health: [],
}
const sick = (over: Partial<typeof healthySupervisor>): LiveState => {
  const supervisor = { ...healthySupervisor, ...over }
  return { ...healthy, supervisor, health: bySeverity(supervisorHealth(supervisor)) }
}
const row = (text: string, label: string) => text.split('\n').find((line) => line.startsWith(`${label} `))

t.test('a row for each room says how it stands', async (t) => {
  const text = statusText(healthy, now)
  t.equal(text.split('\n')[0], 'OK: calls to LLM providers are captured and recorded, or refused')
  t.match(row(text, 'enforcement'), /standard abcdef012345: redirect stands \(owned\), fence stands/)
  t.match(row(text, 'capture'), /in 24 h 2 agents, 14 exchanges; 1,204 in all; last 3 s ago, openai/)
  t.match(
    row(text, 'ledger'),
    /1,300 leaves, checkpoint 3 s old, 2 leaves not signed yet, 1 record on the way/,
  )
  t.match(row(text, 'anchors'), /bounded: all anchored \(development chain: no independent evidence\)/)
  t.match(row(text, 'keys'), /host key; the CA is good until 2035-12-01, for 9 y/)
  t.match(row(text, 'disk'), /16\.8 GiB of 37\.3 GiB free; bodies take 1\.1 GiB; at this rate full in 40 d/)
  t.match(row(text, 'processes'), /agent-anchor 1\.2\.3 is running for 10 min, pid 42/)
})

t.test('a healthy gateway fits a screen of 80 columns and 24 lines, in colour or not', async (t) => {
  const plain = statusText(healthy, now, { columns: 79, colour: false })
  t.ok(plain.split('\n').length <= 23, `${plain.split('\n').length} lines`)
  t.ok(plain.split('\n').every((line) => line.length <= 79 && line === line.trimEnd()))
  const coloured = statusText(healthy, now, { columns: 79, colour: true })
  t.equal(stripVTControlCharacters(coloured), plain)
  t.match(coloured, '\u001b[32mOK', 'green')
})

t.test('on a narrow screen no line is wider, and nothing is lost', async (t) => {
  const words = (text: string) => text.replace(/\s+/g, '')
  for (const columns of [60, 30, 12]) {
    const text = statusText(sick({ ca: { ...healthySupervisor.ca, tooWide: true } }), now, {
      columns,
      colour: false,
    })
    t.ok(
      text.split('\n').every((line) => line.length <= columns),
      `${columns} columns`,
    )
    t.equal(words(text), words(statusText(sick({ ca: { ...healthySupervisor.ca, tooWide: true } }), now)))
  }
})

t.test('a stranger’s words neither steer the terminal nor break its columns', async (t) => {
  const by = `\u001b[2J\u202e${'防火牆'.repeat(20)}\n`
  const { enforcement } = healthySupervisor
  const lastTamper = { time: now.getTime() - 60_000, by, what: '\u0007' }
  const text = statusText(sick({ enforcement: { ...enforcement, lastTamper } }), now, {
    columns: 40,
    colour: false,
  })
  t.notMatch(text, /[\u0000-\u0009\u000b-\u001f\u202e]/)
  const wide = (line: string) =>
    [...line].reduce((sum, one) => sum + (one >= '\u2e80' && one <= '\u9fff' ? 2 : 1), 0)
  t.ok(text.split('\n').every((line) => wide(line) <= 40))
})

t.test('the gravest state comes first, each with its remedy', async (t) => {
  const { enforcement } = healthySupervisor
  const lastTamper = { time: now.getTime() - 60_000, by: 'nft', what: 'x' }
  const broken = sick({ enforcement: { ...enforcement, egress: false, fence: false, lastTamper } })
  const text = statusText(broken, now)
  t.match(text, /^ERROR: not everything is as promised: 1 error, 1 warning\n/)
  t.match(text, /\n\nERROR .*\n.*Restart.*\nWARNING .*\n.*kernel.*\nnote .*\n.*records --kind audit/)
})

t.test('the verdict tells each state of the gateway apart', async (t) => {
  t.equal(verdictOf(healthy), 'holds')
  t.equal(verdictOf(sick({ ca: { ...healthySupervisor.ca, tooWide: true } })), 'warnings')
  t.equal(verdictOf(sick({ ca: { ...healthySupervisor.ca, outgrown: ['x.example'] } })), 'errors')
  t.equal(verdictOf(sick({ phase: 'starting' })), 'starting')
  t.equal(verdictOf({ running: 'no', health: [] }), 'not-running')
  t.equal(verdictOf({ running: 'unknown', health: [] }), 'unknown')
  const observing = sick({ policy: { name: 'observe', hash: 'ab', refuses: false, reloads: 0 } })
  t.match(statusText(observing, now), /^OK: .*the policy observe refuses none that pass by\n/)
})

t.test('a warning about capture takes the promise back, another one does not', async (t) => {
  const promise = /^WARNING: calls to LLM providers are captured and recorded, or refused; 1 warning\n/
  const { enforcement, sensor } = healthySupervisor
  t.match(statusText(sick({ ca: { ...healthySupervisor.ca, tooWide: true } }), now), promise)
  const late = statusText(sick({ enforcement: { ...enforcement, unfenced: true } }), now)
  t.match(late, promise)
  t.match(
    late,
    'No fence stood when the gateway started: until 2026-01-01T00:00:00Z LLM providers could be reached',
  )
  const refusesNothing = { ...healthySupervisor.policy, refuses: false }
  const observed = sick({ enforcement: { ...enforcement, unfenced: true }, policy: refusesNothing })
  t.notMatch(statusText(observed, now), 'No fence stood', 'where the policy has none')
  for (const state of [
    sick({ enforcement: { ...enforcement, egress: false } }),
    sick({ enforcement: { ...enforcement, watched: false } }),
    sick({ sensor: { ...sensor, blind: [{ device: 'eth0', reason: 'x' }] } }),
  ])
    t.match(
      statusText(state, now),
      /^WARNING: not every way past the gateway is closed or watched: 1 warning\n/,
    )
})

t.test('how many records wait for an anchor is said in words that fit the number', async (t) => {
  const waiting = (lagLeaves: string): LiveState => ({
    ...healthy,
    recorder: {
      ...healthyRecorder,
      anchoring: { ...healthyRecorder.anchoring!, lagLeaves, lagSeconds: 2 },
    },
  })
  t.match(row(statusText(waiting('1'), now), 'anchors'), /bounded: 1 record not anchored, the oldest for 2 s/)
  t.match(row(statusText(waiting('1204'), now), 'anchors'), /bounded: 1,204 records not anchored/)
})

t.test('what the recorder does not say, the status does not make up', async (t) => {
  const { recorder: _, ...silent } = healthy
  const text = statusText(silent, now)
  for (const label of ['ledger', 'anchors', 'disk']) t.equal(row(text, label), undefined)
  t.match(row(text, 'capture'), /none failed or refused since the start/)
  const counting = { ...healthyRecorder, captured: { total: 9, lately: 1, agents: 1, counting: true } }
  t.match(
    row(statusText({ ...healthy, recorder: counting }, now), 'capture'),
    /still being counted; 9 in all/,
  )
})

t.test('colour and width are a terminal’s, and only there', async (t) => {
  const hasColors = () => true
  t.same(lookOf({ isTTY: true, columns: 100, hasColors }), { columns: 99, colour: true })
  t.same(lookOf({ isTTY: true, columns: 100, hasColors: () => false }), { columns: 99, colour: false })
  t.same(lookOf({ columns: 100, hasColors }), { colour: false })
})

t.test('a watched screen is drawn over itself, and says how much does not fit', async (t) => {
  t.equal(frame('a\nb', 24), '\u001b[Ha\u001b[K\r\nb\u001b[K\u001b[J')
  t.equal(frame('a\nb\nc\nd', 3), '\u001b[Ha\u001b[K\r\nb\u001b[K\r\n… 2 more lines\u001b[K\u001b[J')
})
