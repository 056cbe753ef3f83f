import { randomUUIDv7 } from 'node:crypto'
import { cpSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { rebuildIndex } from '../../cli/ledger/rebuild-index.ts'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { Finaliser } from '../../daemon/recorder/finalise/finaliser.ts'
import { LAST_CHECKPOINT } from '../../daemon/recorder/finalise/stores.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import { openIndex } from '../../daemon/recorder/index-reader.ts'
import { type Batch, Journal } from '../../daemon/recorder/intake/journal.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import type { ExchangeRecord } from '../../daemon/recorder/record.ts'
import { damage, faulty, journalled, listen } from './recorder-finaliser-fixture.ts'
import {
  COMPLETE,
  openPayload,
  REQUEST_HEAD,
  RESPONSE_HEAD,
  startMessage,
  temporaryDirectory,
} from './recorder-fixtures.ts'

t.setTimeout(120_000)

t.test('whatever call of the disk fails, each exchange is in the log exactly once', async (t) => {
  // How many calls a run makes, after opening.
  const probe = await journalled(5)
  const counter = faulty()
  const heard = listen()
  const first = await Finaliser.open({ ...probe.options, fs: counter.fs }, heard.events)
  const opened = counter.state.calls
  for (const request of probe.requests) first.push({ type: 'exchange', request })
  await heard.until(5)
  await new Promise((resolve) => setTimeout(resolve, 60))
  const used = counter.state.calls - opened
  await first.close()
  t.ok(used >= 4, `${used} calls`)

  const kinds = new Set<string>()
  for (let fail = 0; fail < used; fail++) {
    for (const length of [1, 4]) {
      const { start, requests, options } = await journalled(5)
      const { fs, state } = faulty()
      const { done, events, until } = listen()
      const retry = { first: 5, most: 20 }
      const finaliser = await Finaliser.open({ ...options, fs, retry }, events)
      state.at = state.calls + fail
      state.to = state.at + length - 1
      for (const request of requests) finaliser.push({ type: 'exchange', request })
      await until(5)
      state.at = Number.POSITIVE_INFINITY
      await finaliser.close()
      for (const hit of state.hits) kinds.add(hit)
      const index = openIndex(start.stateDir)
      const ids = index.list().map(({ id }) => id)
      index.close()
      const wanted = requests.map(({ id }) => id)
      const label = `call ${fail} and ${length - 1} more: ${state.hits.join(' ')}`
      if ([...ids].sort().join() !== [...wanted].sort().join()) t.fail(`${label}: ${ids.length} records`)
      if (new Set(done).size !== 5) t.fail(label)
      const found = await damage(start)
      if (found.length > 0) t.fail(`${label}: ${found.join('; ')}`)
    }
  }
  t.ok(kinds.has('writev') && kinds.has('datasync'), [...kinds].join(' '))
})

t.test('an exchange that comes twice is recorded once', async (t) => {
  const { start, requests, options } = await journalled(3)
  const { events, until } = listen()
  const finaliser = await Finaliser.open({ ...options, fs: realFileSystem }, events)
  for (const request of [...requests, ...requests]) finaliser.push({ type: 'exchange', request })
  await until(6)
  finaliser.push({ type: 'exchange', request: requests[0]! })
  await until(7)
  await finaliser.close()
  const index = openIndex(start.stateDir)
  t.equal(index.stats().records, 3)
  index.close()
})

t.test('an exchange whose journal is gone or rotten is told, and holds up no other', async (t) => {
  const { start, requests, options } = await journalled(3)
  const { events, until } = listen()
  const finaliser = await Finaliser.open({ ...options, fs: realFileSystem }, events)
  const [good, rotten, gone] = requests
  finaliser.push({ type: 'exchange', request: { ...rotten!, ranges: rotten!.ranges.map((n) => n + 1) } })
  finaliser.push({ type: 'exchange', request: { ...gone!, ranges: [99, 56, 100] } })
  finaliser.push({ type: 'exchange', request: good! })
  await until(3)
  await finaliser.close()
  const index = openIndex(start.stateDir)
  const kinds = Object.fromEntries(index.list().map(({ id, kind }) => [id, kind]))
  index.close()
  t.same(kinds, { [good!.id]: 'exchange', [rotten!.id]: 'gap', [gone!.id]: 'gap' })
})

t.test('an exchange that could not be written to its end says why', async (t) => {
  const { start, requests, options } = await journalled(1)
  const { events, until } = listen()
  const finaliser = await Finaliser.open({ ...options, fs: realFileSystem }, events)
  const failure = { code: 'ENOSPC', message: 'no space left' }
  finaliser.push({ type: 'exchange', request: { ...requests[0]!, failure } })
  await until(1)
  await finaliser.close()
  const index = openIndex(start.stateDir)
  t.match(parseLeaf(index.list()[0]!.bytes), { outcome: 'interrupted', error: failure })
  index.close()
})

t.test('the final status counts, heads keep 1xx answers and trailers, times are differences', async (t) => {
  const { start, requests, options } = await journalled(1)
  const { events, until } = listen()
  const finaliser = await Finaliser.open({ ...options, fs: realFileSystem }, events)
  finaliser.push({ type: 'exchange', request: requests[0]! })
  await until(1)
  await finaliser.close()
  const index = openIndex(start.stateDir)
  const record = parseLeaf(index.list()[0]!.bytes)
  index.close()
  t.match(record, { http: { status: 200 }, timing: { requestEnd: 3, firstByte: 4, end: 7 } })
  if (record.kind !== 'exchange') throw new Error(record.kind)
  const bodies = openBodies(start.stateDir, start.bodyKey)
  const head = bodies.read(record.response!.head.digest).bytes.toString()
  bodies.close()
  t.equal(head, `HTTP/1.1 100 Continue\r\n\r\n${RESPONSE_HEAD.toString()}x-sum: 1\r\n`)
})

t.test(
  'what was learned after the beginning takes its place, and waiting for it costs no time',
  async (t) => {
    const start = startMessage(temporaryDirectory())
    mkdirSync(start.stateDir)
    const journal = path.join(start.stateDir, 'journal')
    const writer = await Journal.open({ dir: journal, bodyKey: start.bodyKey, fs: realFileSystem }, [])
    const json = (value: object) => Buffer.from(JSON.stringify(value))
    const open = openPayload({ agent: { uid: 1000, inode: 7 }, flags: ['unlisted-host'] })
    const agent = {
      ...{ uid: 1000, inode: 7, gid: 1000, cgroup: '/system.slice/a.service', unit: 'a.service' },
      processes: [{ pid: 10, name: 'curl', executable: '/usr/bin/curl', sha256: 'ab'.repeat(32) }],
      more: 3,
    }
    const end = { ...COMPLETE, agent, flags: ['name-mismatch', 'unlisted-host'], heldMs: 400 }
    const refused = {
      id: randomUUIDv7(),
      ...{
        rule: 'r',
        reason: 'why',
        protocol: 'tcp',
        heldMs: 250,
        agent: { uid: 1000 },
        client: open.client,
      },
      ...{ originalDestination: open.originalDestination, policy: { hash: 'ab'.repeat(32) } },
    }
    const time = Date.UTC(2026, 0, 1)
    const batch: Batch[] = [
      {
        ...{ id: open.id, ranges: [] },
        frames: [
          { type: FrameType.Open, payload: json(open), time },
          { type: FrameType.RequestHead, payload: REQUEST_HEAD, time },
          { type: FrameType.RequestEnd, payload: json({}), time: time + 1 },
          { type: FrameType.ResponseHead, payload: RESPONSE_HEAD, time: time + 20 },
          { type: FrameType.End, payload: json(end), time: time + 430 },
        ],
      },
      {
        ...{ id: refused.id, ranges: [] },
        frames: [{ type: FrameType.Refusal, payload: json(refused), time: time + 1250 }],
      },
    ]
    await writer.write(batch, true)
    await writer.close()
    const { bodyKey, logKey, origin, verifierKey } = start
    const options = { dir: start.stateDir, journal, bodyKey, logKey, origin, verifierKey, fs: realFileSystem }
    const { events, until } = listen()
    const finaliser = await Finaliser.open({ ...options, checkpointIntervalMs: 20 }, events)
    for (const { id, ranges } of batch) finaliser.push({ type: 'exchange', request: { id, ranges } })
    await until(2)
    await finaliser.close()
    const index = openIndex(start.stateDir)
    const records = index.list().map(({ bytes }) => parseLeaf(bytes))
    index.close()
    const exchange = records.find(({ kind }) => kind === 'exchange') as ExchangeRecord
    t.same(exchange.agent, agent)
    t.same(exchange.flags, ['unlisted-host', 'name-mismatch'])
    t.equal(exchange.timing.end, 30)
    t.match(
      records.find(({ kind }) => kind === 'refusal'),
      { id: refused.id, time: '2026-01-01T00:00:01.000Z', protocol: 'tcp', heldMs: undefined },
    )
  },
)

t.test('a log with fewer records than the index is not gone on with before somebody says so', async (t) => {
  const { start, requests, options } = await journalled(3)
  const ledger = path.join(start.stateDir, 'ledger')
  const copy = path.join(start.stateDir, 'copy')
  for (const [i, request] of requests.entries()) {
    const { events, until } = listen()
    const finaliser = await Finaliser.open({ ...options, fs: realFileSystem }, events)
    finaliser.push({ type: 'exchange', request })
    await until(1)
    await finaliser.close()
    if (i === 0) cpSync(ledger, copy, { recursive: true })
  }
  rmSync(ledger, { recursive: true })
  renameSync(copy, ledger)
  // What else would remember a newer log.
  rmSync(path.join(start.stateDir, LAST_CHECKPOINT))
  const { events } = listen()
  const open = () => Finaliser.open({ ...options, fs: realFileSystem }, events)
  await t.rejects(open(), {
    code: 'ROLLBACK',
    message: /the index has 3 records, but the log only 1/,
    remedy: /rebuild-index/,
  })
  const { bodyKey } = start
  const rebuilt = await rebuildIndex(start.stateDir, bodyKey, {
    part: () => {},
    at: () => {},
    clear: () => {},
  })
  t.equal(rebuilt.records, 1)
  await (await open()).close()
})
