/** The recorder's files damaged, and its peers out of order. No root and no network needed. */
import { once } from 'node:events'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { checkRecorder } from '../../daemon/recorder/fsck.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import {
  COMPLETE,
  FakeProxy,
  frame,
  RESPONSE_BODY,
  requestBody,
  startMessage,
  temporaryDirectory,
} from '../unit/recorder-fixtures.ts'
import { startRecorder } from '../unit/recorder-process.ts'
import { damage, exchanges, files, records } from './recorder-store.ts'

// Processes are started and killed, and damage is looked at twice.
t.setTimeout(180_000)

t.test('a flipped byte in any file is found and named', async (t) => {
  const start = startMessage(temporaryDirectory())
  const recorder = await startRecorder(start)
  const proxy = await FakeProxy.connect(start.socket)
  for (let i = 0; i < 20; i++) {
    const { exchange } = await proxy.request({ body: requestBody(`message ${i} `.repeat(300)) })
    if (i < 15) proxy.respond(exchange)
  }
  await recorder.state((s) => s.records === 15 && s.pending === 0)
  await recorder.kill()
  t.same(await damage(start), [], 'whole before')
  const sealed = files(start.stateDir).filter((f) => /\.(seg|pack)$/.test(f))
  t.equal(sealed.length, 2)
  for (const file of sealed) {
    const whole = readFileSync(path.join(start.stateDir, file))
    const places = [0, 9, 45, 56, 61, 70, whole.length >> 1, whole.length - 1]
    for (const at of places) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 0x10
      writeFileSync(path.join(start.stateDir, file), bytes)
      const found: string[] = []
      for await (const d of checkRecorder(start.stateDir, start.bodyKey)) found.push(d.file)
      if (!found.includes(file)) t.fail(`the flip at ${at} of ${file} went unnoticed`)
    }
    writeFileSync(path.join(start.stateDir, file), whole)
  }
  const database = new DatabaseSync(path.join(start.stateDir, 'index.sqlite'))
  const changes = [
    [
      "UPDATE record SET model = 'gpt-3' WHERE leaf = 3",
      "UPDATE record SET model = 'gpt-4o-2024-08-06' WHERE leaf = 3",
    ],
    ['UPDATE record SET uid = 0 WHERE leaf = 4', 'UPDATE record SET uid = 1000 WHERE leaf = 4'],
    [
      "UPDATE record SET bytes = CAST(x'00' || substr(bytes, 2) AS BLOB) WHERE leaf = 5",
      "UPDATE record SET bytes = CAST(x'7b' || substr(bytes, 2) AS BLOB) WHERE leaf = 5",
    ],
    ['UPDATE place SET "offset" = "offset" + 1', 'UPDATE place SET "offset" = "offset" - 1'],
  ] as const
  for (const [change, undo] of changes) {
    database.exec(change)
    t.ok((await damage(start)).includes('index.sqlite'), change)
    database.exec(undo)
  }
  database.close()
  t.same(await damage(start), [])
  appendFileSync(path.join(start.stateDir, sealed[0]!), Buffer.alloc(10))
  t.same(await damage(start), [sealed[0]])
})

t.test('an index that is damaged or gone is made again from ledger and packs', async (t) => {
  const start = startMessage(temporaryDirectory())
  const first = await startRecorder(start)
  const proxy = await FakeProxy.connect(start.socket)
  const { exchange, id } = await proxy.request()
  proxy.respond(exchange)
  await first.state((s) => s.records === 1 && s.pending === 0)
  t.equal(await first.stop(), 0)
  writeFileSync(path.join(start.stateDir, 'index.sqlite'), 'this is no database'.repeat(100))
  t.same(await damage(start), ['index.sqlite'])
  const second = await startRecorder(start)
  t.match(exchanges(start), [{ id }])
  const bodies = openBodies(start.stateDir, start.bodyKey)
  t.ok(bodies.read(exchanges(start)[0]!.response!.body.digest).bytes.equals(RESPONSE_BODY))
  bodies.close()
  t.same(await damage(start), [])
  t.equal(await second.stop(), 0)
})

t.test('a torn journal is told as a gap', async (t) => {
  const start = startMessage(temporaryDirectory())
  const first = await startRecorder(start)
  const proxy = await FakeProxy.connect(start.socket)
  await proxy.request()
  const segment = path.join(start.stateDir, 'journal', '0000000001.seg')
  await first.kill()
  appendFileSync(segment, Buffer.from('AAe1 half an entry'))
  const second = await startRecorder(start)
  await second.state((s) => s.pending === 0 && Number(s.records) >= 3)
  const causes = records(start).flatMap((r) => (r.kind === 'gap' ? [r.cause] : []))
  t.match(causes.sort(), [/^journal\/0000000001.seg: an incomplete/, /did not stop cleanly/])
  t.equal(exchanges(start)[0]?.outcome, 'interrupted')
  t.equal(await second.stop(), 0)
})

t.test('a malformed frame ends that connection, and no other', async (t) => {
  const start = startMessage(temporaryDirectory())
  const recorder = await startRecorder(start)
  const good = await FakeProxy.connect(start.socket)
  const bad = await FakeProxy.connect(start.socket)
  const { exchange, id } = await bad.request()
  const closed = once(bad.socket, 'close')
  bad.socket.write(frame(FrameType.End, exchange, { outcome: 'fine' }))
  await closed
  const other = await good.request()
  t.equal(other.reply.type, FrameType.Durable)
  good.respond(other.exchange, RESPONSE_BODY, COMPLETE)
  await recorder.state((s) => s.records === 2)
  t.same(
    exchanges(start)
      .map((r) => [r.id, r.outcome])
      .sort(),
    [
      [id, 'interrupted'],
      [other.id, 'complete'],
    ].sort(),
  )
  t.equal(await recorder.stop(), 0)
})
