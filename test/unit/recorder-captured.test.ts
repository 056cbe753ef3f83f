/** What the status says of the last 24 hours, counted from a real index; and when a disk will be full. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CapturedLately } from '../../daemon/recorder/index/captured.ts'
import { IndexWriter } from '../../daemon/recorder/index/index-writer.ts'
import { DiskTrend } from '../../daemon/recorder/retention/disk-trend.ts'
import { temporaryDirectory } from './recorder-fixtures.ts'

const HOUR = 3600_000
const now = Date.parse('2026-01-10T12:00:00Z')

function leaf(number: number, time: number, { kind = 'exchange', agent = {}, provider = 'openai' } = {}) {
  const bytes = Buffer.from(JSON.stringify({ agent }))
  const id = `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`
  const empty = {
    uid: null,
    model: null,
    status: null,
    outcome: null,
    input_tokens: null,
    output_tokens: null,
  }
  const row = { leaf: number, id, time: new Date(time).toISOString(), kind, provider, ...empty, bytes }
  return { row, digests: [], erasure: undefined }
}

function indexOf(t: Test, leaves: readonly ReturnType<typeof leaf>[]): IndexWriter {
  const index = IndexWriter.open(join(temporaryDirectory(), 'index.sqlite'), false)
  t.teardown(() => index.close())
  index.add(leaves)
  return index
}

t.test("the gateway's own tries are nobody's traffic", async (t) => {
  const own = { agent: { uid: 65534 }, provider: 'canary' }
  const index = indexOf(t, [leaf(0, now - 2 * HOUR, { agent: { uid: 1 } }), leaf(1, now - 1 * HOUR, own)])
  const last = { time: new Date(now - 2 * HOUR).toISOString(), provider: 'openai' }
  t.same(new CapturedLately().look(index.database, now), {
    ...{ total: 2, lately: 1, agents: 1, last, counting: false },
  })
})

t.test('exchanges and agents of the last 24 hours are counted, older ones only in all', async (t) => {
  const curl = { uid: 4001, processes: [{ pid: 1, name: 'x', executable: '/usr/bin/curl' }] }
  const index = indexOf(t, [
    leaf(0, now - 50 * HOUR, { agent: { uid: 1 } }),
    leaf(1, now - 30 * HOUR, { agent: curl }),
    leaf(2, now - 20 * HOUR, { agent: curl }),
    leaf(3, now - 10 * HOUR, { kind: 'audit' }),
    leaf(4, now - 5 * HOUR, {
      agent: {
        ...{ ...curl, unit: 'session-4.scope' },
        processes: [{ pid: 9, name: 'y', executable: '/usr/bin/curl' }],
      },
    }),
    leaf(5, now - 3 * HOUR, { agent: { uid: 4001, container: 'docker:ab' } }),
    leaf(6, now - 1 * HOUR, {
      agent: { uid: 4002, processes: [{ pid: 3, name: 'x' }] },
      provider: 'anthropic',
    }),
    leaf(7, now - 1 * HOUR, { kind: 'gap' }),
  ])
  const captured = new CapturedLately()
  const last = { time: new Date(now - HOUR).toISOString(), provider: 'anthropic' }
  t.same(captured.look(index.database, now), { total: 6, lately: 4, agents: 3, last, counting: false })
  index.add([leaf(8, now, { agent: { uid: 4002, processes: [{ pid: 3, name: 'x' }] } })])
  t.match(captured.look(index.database, now), {
    total: 7,
    lately: 5,
    agents: 3,
    last: { provider: 'openai' },
  })
  t.match(captured.look(index.database, now + 22 * HOUR), { total: 7, lately: 2, agents: 1 }, 'a day goes on')
  t.match(captured.look(index.database, now + 26 * HOUR), { total: 7, lately: 0, agents: 0 })
})

t.test('a long backlog is counted bit by bit, and says so', async (t) => {
  const many = Array.from({ length: 2500 }, (_, i) => leaf(i, now - 23 * HOUR + i, { agent: { uid: i % 7 } }))
  const index = indexOf(t, many)
  const captured = new CapturedLately()
  t.match(captured.look(index.database, now), { lately: 1000, counting: true })
  t.match(captured.look(index.database, now), { lately: 2000, counting: true })
  t.match(captured.look(index.database, now), { total: 2500, lately: 2500, agents: 7, counting: false })
})

t.test('a log without exchanges has none', async (t) => {
  const nothing = { total: 0, lately: 0, agents: 0, counting: false }
  t.same(new CapturedLately().look(indexOf(t, []).database, now), nothing)
  t.same(new CapturedLately().look(indexOf(t, [leaf(0, now, { kind: 'audit' })]).database, now), nothing)
})

t.test('when the disk is full is told after half an hour of shrinking, up to the reserve', async (t) => {
  const trend = new DiskTrend()
  const at = (minutes: number, free: number) => trend.look({ free, total: 1e12 }, 1e9, now + minutes * 60_000)
  t.equal(at(0, 10e9), undefined)
  t.equal(at(20, 9.8e9), undefined, 'too early to tell')
  t.equal(at(60, 9e9), now + 60 * 60_000 + 8 * HOUR, 'a gigabyte an hour, and eight to go')
  t.equal(at(61, 1e9), now + 60 * 60_000 + 8 * HOUR, 'one moment decides nothing')
  t.equal(at(120, 10e9), undefined, 'space was freed')
  t.equal(at(26 * 60, 10e9 - 1), undefined, 'not within a year')
})
