/** The recorder's process: killed, restarted, damaged. No root and no network needed. */
import { randomUUIDv7 } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { checkLedger } from '../../daemon/ledger/fsck.ts'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { checkRecorder } from '../../daemon/recorder/fsck.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import { openIndex } from '../../daemon/recorder/index-reader.ts'
import { FrameType } from '../../daemon/recorder/protocol.ts'
import type { ExchangeRecord, LogRecord } from '../../daemon/recorder/record.ts'
import {
  COMPLETE,
  FakeProxy,
  frame,
  openPayload,
  REQUEST_HEAD,
  RESPONSE_BODY,
  RESPONSE_HEAD,
  requestBody,
  startMessage,
  temporaryDirectory,
} from '../unit/recorder-fixtures.ts'
import { startRecorder } from '../unit/recorder-process.ts'

// Processes are started and killed, and damage is looked at twice.
t.setTimeout(180_000)

type Start = ReturnType<typeof startMessage>

async function damage(start: Start): Promise<string[]> {
  const found: string[] = []
  for await (const { file } of checkRecorder(start.stateDir, start.bodyKey)) found.push(file)
  for await (const { file } of checkLedger(path.join(start.stateDir, 'ledger'), start.verifierKey)) {
    found.push(`ledger/${file}`)
  }
  return found
}

function records(start: Start): LogRecord[] {
  const index = openIndex(start.stateDir)
  const rows = index.list({ limit: 10_000 })
  index.close()
  return rows.map(({ bytes }) => parseLeaf(bytes))
}

const exchanges = (start: Start) => records(start).filter((r): r is ExchangeRecord => r.kind === 'exchange')

function files(dir: string): string[] {
  return (readdirSync(dir, { recursive: true }) as string[]).filter((f) =>
    statSync(path.join(dir, f)).isFile(),
  )
}

t.test(
  'an exchange becomes a record whose bodies come back, and a clean stop leaves nothing behind',
  async (t) => {
    const start = startMessage(temporaryDirectory())
    const recorder = await startRecorder(start)
    const proxy = await FakeProxy.connect(start.socket)
    const { exchange, id } = await proxy.request({ body: requestBody('what is the secret plan?') })
    proxy.respond(exchange)
    const refused = randomUUIDv7()
    const { agent, client, originalDestination, policy } = openPayload()
    const refusal = { id: refused, rule: 'no-name', reason: 'no SNI', agent, client, originalDestination }
    proxy.socket.write(frame(FrameType.Refusal, 0, { ...refusal, policy: { hash: policy.hash } }))
    recorder.child.send({
      type: 'audit',
      time: Date.now(),
      event: 'start',
      detail: { version: '0.1.0', ok: true },
    })
    recorder.child.send({ type: 'supervisor', state: { enforcement: 'standard' } })
    await recorder.state((s) => s.records === 3 && s.pending === 0)

    const [record] = exchanges(start)
    t.match(record, {
      id,
      outcome: 'complete',
      provider: 'openai',
      agent: { uid: 1000 },
      http: { method: 'POST', target: '/v1/chat/completions', status: 200 },
      derived: { 'gen_ai.request.model': 'gpt-4o', 'gen_ai.usage.input_tokens': 12, usageSource: 'reported' },
    })
    t.type(record!.timing.durable, 'number')
    const bodies = openBodies(start.stateDir, start.bodyKey)
    t.ok(bodies.read(record!.request.head.digest).bytes.equals(REQUEST_HEAD))
    t.ok(bodies.read(record!.request.body.digest).bytes.equals(requestBody('what is the secret plan?')))
    t.ok(bodies.read(record!.response!.head.digest).bytes.equals(RESPONSE_HEAD))
    t.ok(bodies.read(record!.response!.body.digest).bytes.equals(RESPONSE_BODY))
    bodies.close()

    const index = openIndex(start.stateDir)
    t.equal(index.get(id.slice(0, 30))?.id, id)
    t.throws(() => index.get(id[0]!), { code: 'AMBIGUOUS' })
    t.equal(index.get('ffff'), undefined)
    t.same(
      index.list({ kind: 'refusal' }).map((r) => r.id),
      [refused],
    )
    t.same(
      index.list({ uid: 1000, provider: 'openai' }).map((r) => r.id),
      [id],
    )
    t.match(index.stats(), { records: 3, byKind: { exchange: 1, refusal: 1, audit: 1 } })
    index.close()

    const status = connect(start.statusSocket)
    let text = ''
    status.on('data', (bytes) => {
      text += bytes
    })
    await once(status, 'end')
    t.match(JSON.parse(text), {
      schemaVersion: 1,
      records: 3,
      supervisor: { enforcement: 'standard' },
      health: [],
    })
    t.equal(statSync(start.statusSocket).mode & 0o777, 0o666)

    t.same(await damage(start), [], 'nothing is damaged, beside the running recorder')
    t.equal(await recorder.stop(), 0)
    t.same(readdirSync(path.join(start.stateDir, 'journal')), [])
    t.same(await damage(start), [])
    for (const file of files(start.stateDir)) {
      t.equal(readFileSync(path.join(start.stateDir, file)).indexOf('secret plan'), -1, file)
    }
  },
)

t.test(
  'killed in the middle: what was acknowledged is in the log as interrupted, once, with a gap',
  async (t) => {
    const start = startMessage(temporaryDirectory())
    const first = await startRecorder(start)
    const proxy = await FakeProxy.connect(start.socket)
    const acknowledged: string[] = []
    const done: string[] = []
    let sending = true
    const senders = Array.from({ length: 16 }, async (_, i) => {
      for (let n = 0; sending; n++) {
        const open = openPayload()
        const body = requestBody(`secret-${i}-${n}`.repeat(50))
        const { exchange } = await proxy.request({ open, body })
        acknowledged.push(open.id)
        if (n % 3 === 0) continue
        proxy.respond(exchange)
        done.push(open.id)
      }
    })
    await new Promise((resolve) => setTimeout(resolve, 700))
    await first.kill()
    sending = false
    void senders
    t.ok(acknowledged.length > 50, `${acknowledged.length} acknowledged, ${done.length} ended`)

    const second = await startRecorder(start)
    await second.state((s) => s.pending === 0 && Number(s.records) >= acknowledged.length)
    const found = exchanges(start)
    const ids = found.map(({ id }) => id)
    t.equal(new Set(ids).size, ids.length, 'none is there twice')
    const missing = acknowledged.filter((id) => !ids.includes(id))
    t.same(missing, [], 'none is missing')
    const ended = new Set(done)
    for (const { id, outcome } of found) {
      if (!ended.has(id) && outcome !== 'interrupted') t.fail(`${id} is ${outcome}`)
    }
    t.ok(found.some(({ outcome }) => outcome === 'interrupted'))
    const gaps = records(start).filter((r) => r.kind === 'gap')
    t.ok(gaps.some((r) => r.kind === 'gap' && /did not stop cleanly/.test(r.cause)))
    t.same(await damage(start), [])
    t.equal(await second.stop(), 0)
    for (const file of files(start.stateDir)) {
      t.equal(readFileSync(path.join(start.stateDir, file)).indexOf('secret-'), -1, file)
    }
    const third = await startRecorder(start)
    t.equal(exchanges(start).length, found.length, 'another start adds nothing')
    t.equal(await third.stop(), 0)
  },
)

t.test('killed again and again, nothing is lost, doubled or damaged', async (t) => {
  const start = startMessage(temporaryDirectory())
  const acknowledged: string[] = []
  for (let round = 0; round < 4; round++) {
    const recorder = await startRecorder(start)
    const proxy = await FakeProxy.connect(start.socket)
    void (async () => {
      for (;;) {
        const { exchange, id } = await proxy.request()
        acknowledged.push(id)
        proxy.respond(exchange)
      }
    })()
    await new Promise((resolve) => setTimeout(resolve, 60 + round * 90))
    await recorder.kill()
  }
  const last = await startRecorder(start)
  await last.state((s) => s.pending === 0 && Number(s.records) >= acknowledged.length)
  const ids = exchanges(start).map(({ id }) => id)
  t.equal(new Set(ids).size, ids.length)
  t.same(
    acknowledged.filter((id) => !ids.includes(id)),
    [],
  )
  t.equal(await last.stop(), 0)
  t.same(await damage(start), [])
})

t.test('a stop ends open exchanges as interrupted', async (t) => {
  const start = startMessage(temporaryDirectory())
  const recorder = await startRecorder(start)
  const proxy = await FakeProxy.connect(start.socket)
  const { exchange, id } = await proxy.request()
  proxy.socket.write(frame(FrameType.ResponseHead, exchange, RESPONSE_HEAD))
  proxy.socket.write(frame(FrameType.ResponseBody, exchange, Buffer.from('{"id":')))
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(await recorder.stop(), 0)
  t.match(exchanges(start), [{ id, outcome: 'interrupted', response: { body: { size: 6 } } }])
})

t.test('bodies of a host that keeps none leave a digest, and no trace after the record', async (t) => {
  const start = startMessage(temporaryDirectory())
  const recorder = await startRecorder(start)
  const proxy = await FakeProxy.connect(start.socket)
  const { exchange } = await proxy.request({ open: openPayload({ keepBodies: false }) })
  proxy.respond(exchange)
  await recorder.state((s) => s.records === 1)
  const [record] = exchanges(start)
  t.match(record, {
    request: { head: { stored: true }, body: { stored: false, size: requestBody('hi').length } },
    response: { body: { stored: false } },
    derived: { unparsed: /not kept/ },
  })
  t.equal(await recorder.stop(), 0)
})

t.test('a body of 60 MB passes in bounded memory and comes back', async (t) => {
  const start = startMessage(temporaryDirectory())
  const recorder = await startRecorder(start)
  const proxy = await FakeProxy.connect(start.socket)
  const body = Buffer.alloc(60 << 20)
  for (let i = 0; i < body.length; i += 4) body.writeUInt32LE((i * 2654435761) >>> 0, i)
  const { exchange } = await proxy.request({ body })
  proxy.respond(exchange)
  await recorder.state((s) => s.records === 1)
  const peak =
    Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${recorder.child.pid}/status`, 'utf8'))?.[1]) >> 10
  t.comment(`peak ${peak} MB`)
  // 290 MB, as with one of 240 MB; 140 MB of them the process has without any.
  t.ok(peak < 360, `${peak} MB`)
  const [record] = exchanges(start)
  const bodies = openBodies(start.stateDir, start.bodyKey)
  t.ok(bodies.read(record!.request.body.digest).bytes.equals(body))
  bodies.close()
  t.equal(await recorder.stop(), 0)
})

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

t.test(
  "the supervisor's evidence is in the log once, whatever becomes of the recorder that it was sent to",
  async (t) => {
    const start = startMessage(temporaryDirectory())
    const first = await startRecorder(start)
    const id = () => randomUUIDv7()
    const seen = {
      ...{
        reason: 'past the proxy',
        protocol: 'udp',
        agent: { uid: 1000, processes: [{ pid: 5, name: 'x' }] },
      },
      ...{ client: { address: '10.0.0.2', port: 4000 }, destination: { address: '203.0.113.10', port: 443 } },
      ...{ from: Date.UTC(2026, 0, 1), to: Date.UTC(2026, 0, 1, 0, 0, 10), policy: 'ab'.repeat(32) },
    }
    const evidence = [
      { type: 'audit', id: id(), event: 'start', detail: { version: '1' } },
      {
        type: 'gap',
        id: id(),
        cause: 'ruleset-changed',
        from: seen.from,
        to: seen.to,
        detail: { by: 'nft' },
      },
      { type: 'refusal', id: id(), rule: 'aa:udp', count: 41, via: 'kernel', ...seen },
      {
        type: 'leak',
        id: id(),
        rule: 'client-hello',
        count: 1,
        via: 'sensor',
        serverName: 'api.openai.com',
        ...seen,
      },
    ]
    const confirmed = new Set<string>()
    const listen = (recorder: Awaited<ReturnType<typeof startRecorder>>) =>
      recorder.child.on('message', (message: { type: string; ids?: string[] }) => {
        if (message.type === 'recorded') for (const one of message.ids ?? []) confirmed.add(one)
      })
    listen(first)
    for (const one of evidence) first.child.send(one)
    await first.state(() => confirmed.size === evidence.length)
    t.same([...confirmed].sort(), evidence.map((one) => one.id).sort(), 'each is confirmed')
    await first.kill()

    const second = await startRecorder(start)
    confirmed.clear()
    listen(second)
    for (const one of evidence) second.child.send(one)
    const late = { ...evidence[2], id: undefined, count: 2 }
    second.child.send(late)
    await second.state((s) => confirmed.size === evidence.length && s.pending === 0)
    t.equal(await second.stop(), 0)

    const all = records(start)
    for (const { id, type } of evidence) {
      t.match(
        all.filter((record) => record.id === id),
        { length: 1, 0: { kind: type } },
        `${type} once`,
      )
    }
    const [refusal, leak] = ['refusal', 'leak'].map((kind) => all.findLast((record) => record.kind === kind))
    const span = {
      from: '2026-01-01T00:00:00.000Z',
      to: '2026-01-01T00:00:10.000Z',
      time: '2026-01-01T00:00:10.000Z',
    }
    const policy = { hash: 'ab'.repeat(32) }
    t.match(refusal, {
      ...{ ...span, policy, rule: 'aa:udp', count: 41, via: 'kernel', protocol: 'udp', client: seen.client },
      ...{ originalDestination: seen.destination, agent: seen.agent },
    })
    t.match(leak, { ...span, policy, destination: seen.destination, serverName: 'api.openai.com', count: 1 })
    t.match(
      all.find((record) => record.kind === 'gap' && record.cause === 'ruleset-changed'),
      { from: span.from, to: span.to, detail: { by: 'nft' } },
    )
    const index = openIndex(start.stateDir)
    t.equal(index.list({ kind: 'refusal' }).length, 2, 'what has no id is recorded under one of its own')
    t.match(index.list({ kind: 'leak', uid: 1000 }), [{ kind: 'leak', uid: 1000 }])
    index.close()
    t.same(await damage(start), [])
  },
)

t.test('evidence that can not be read becomes a gap, is confirmed, and stops nothing', async (t) => {
  const start = startMessage(temporaryDirectory())
  const recorder = await startRecorder(start)
  const id = randomUUIDv7()
  const confirmed = new Promise((resolve) => {
    recorder.child.on(
      'message',
      (message: { type: string }) => message.type === 'recorded' && resolve(message),
    )
  })
  for (const odd of [{ type: 'leak', id, rule: 'x', count: 0 }, 'nonsense', null])
    recorder.child.send(odd as object)
  t.same(await confirmed, { type: 'recorded', ids: [id] })
  await recorder.state((s) => s.records === 3)
  t.equal(await recorder.stop(), 0)
  const all = records(start)
  t.match(
    all.find((record) => record.id === id),
    { kind: 'gap', cause: 'evidence-unreadable', detail: { what: /count/ } },
  )
})

t.test('a start message that is none ends the recorder with what is wrong', async (t) => {
  await t.rejects(startRecorder({ ...startMessage(temporaryDirectory()), origin: '' }), /ended with 1/)
})
