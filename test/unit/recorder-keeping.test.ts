/** What the `records` rules of a policy leave of an exchange, in the log and in the store. */
import { randomUUIDv7 } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { realFileSystem } from '../../daemon/base/durable/file-system.ts'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { Finaliser } from '../../daemon/recorder/finalise/finaliser.ts'
import { checkRecorder } from '../../daemon/recorder/fsck.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import { openIndex } from '../../daemon/recorder/index-reader.ts'
import { type Batch, Journal } from '../../daemon/recorder/intake/journal.ts'
import { FrameType, type OpenPayload } from '../../daemon/recorder/protocol.ts'
import type { AuditRecord, ExchangeRecord, LogRecord, Part } from '../../daemon/recorder/record.ts'
import { encodePiece } from '../../daemon/recorder/web-socket-body.ts'
import { loadPolicy, type Policy } from '../../policies/policy.ts'
import { shippedDirectory } from '../../policies/shipped.ts'
import {
  COMPLETE,
  openPayload,
  REQUEST_HEAD,
  RESPONSE_BODY,
  RESPONSE_HEAD,
  startMessage,
  temporaryDirectory,
} from './recorder-fixtures.ts'

t.setTimeout(120_000)
const standard = loadPolicy({ dir: shippedDirectory, name: 'standard' }).policy
type Rule = Policy['records']['rules'][number]
const HASH = 'ab'.repeat(32)
const policyOf = (rules: Omit<Rule, 'name'>[], more: Partial<Policy> = {}): Policy => ({
  ...standard,
  hash: HASH,
  records: { default: 'anchor', rules: rules.map((rule, i) => ({ ...rule, name: `r${i}` })) },
  ...more,
})
const KEY = `sk-proj-${'aB3xY9kQ'.repeat(6)}`
const REQUEST = Buffer.from(
  JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: `use ${KEY}` }] }),
)
const json = (value: object) => Buffer.from(JSON.stringify(value))

interface Exchange {
  readonly open?: Partial<OpenPayload>
  readonly requestHead?: Buffer
  readonly request?: readonly Buffer[]
  readonly responseHead?: Buffer
  readonly response?: readonly Buffer[]
}

/** The records made of exchanges, and what the store gives for a part of them. */
async function recorded(policy: Policy, exchanges: readonly Exchange[], later?: Policy) {
  const start = startMessage(temporaryDirectory())
  mkdirSync(start.stateDir)
  const journal = path.join(start.stateDir, 'journal')
  const writer = await Journal.open({ dir: journal, bodyKey: start.bodyKey, fs: realFileSystem }, [])
  const batch: Batch[] = exchanges.map((one) => {
    const open = openPayload(one.open)
    const frames: [FrameType, Buffer][] = [
      [FrameType.Open, json(open)],
      [FrameType.RequestHead, one.requestHead ?? REQUEST_HEAD],
      ...(one.request ?? [REQUEST]).map((bytes): [FrameType, Buffer] => [FrameType.RequestBody, bytes]),
      [FrameType.RequestEnd, json({})],
      [FrameType.ResponseHead, one.responseHead ?? RESPONSE_HEAD],
      ...(one.response ?? [RESPONSE_BODY]).map((bytes): [FrameType, Buffer] => [
        FrameType.ResponseBody,
        bytes,
      ]),
      [FrameType.End, json(COMPLETE)],
    ]
    const time = Date.now()
    return {
      id: open.id,
      ranges: [],
      frames: frames.map(([type, payload], i) => ({ type, payload, time: time + i })),
    }
  })
  await writer.write(batch, true)
  await writer.close()
  const { bodyKey, logKey, origin, verifierKey } = start
  const { promise: all, resolve } = Promise.withResolvers<void>()
  let count = 0
  const lines: string[] = []
  const finaliser = await Finaliser.open(
    {
      dir: start.stateDir,
      journal,
      bodyKey,
      logKey,
      origin,
      verifierKey,
      checkpointIntervalMs: 20,
      fs: realFileSystem,
      policy,
    },
    {
      done: (ids) => {
        count += ids.length
        if (count === batch.length) resolve()
      },
      checkpoint: () => {},
      log: (line) => lines.push(line),
    },
  )
  if (later) finaliser.keeping.use(later)
  for (const { id, ranges } of batch) finaliser.push({ type: 'exchange', request: { id, ranges } })
  await all
  await finaliser.close()
  const index = openIndex(start.stateDir)
  const records = batch.map(({ id }) => parseLeaf(index.get(id)!.bytes)) as LogRecord[]
  const bodies = openBodies(start.stateDir, bodyKey)
  const stored = ({ digest }: Part) => bodies.read(digest).bytes
  const damage: string[] = []
  for await (const { file, what } of checkRecorder(start.stateDir, bodyKey)) {
    if (!file.startsWith('journal/')) damage.push(`${file}: ${what}`)
  }
  t.strictSame({ lines, damage }, { lines: [], damage: [] })
  return { records, stored, close: () => bodies.close(), ids: batch.map(({ id }) => id) }
}

t.test('without rules all is kept, and nothing is said of it', async (t) => {
  const { records, stored, close } = await recorded(policyOf([]), [{}])
  const [record] = records as [ExchangeRecord]
  t.equal(record.policy.records, undefined)
  t.same(stored(record.request.body), REQUEST)
  close()
})

t.test('metadata-only: no body is stored, and what it told is still derived', async (t) => {
  const { records, stored, close } = await recorded(
    policyOf([{ action: 'metadata-only', models: ['gpt-*'] }, { action: 'keep' }]),
    [{}, { request: [Buffer.from('{"model":"o3"}')] }],
  )
  const [record, other] = records as [ExchangeRecord, ExchangeRecord]
  t.strictSame(record.policy.records, { action: 'metadata-only', rule: 'standard/records/r0' })
  t.equal(record.request.body.stored, false)
  t.equal(record.response?.body.stored, false)
  t.throws(() => stored(record.request.body), { code: 'NOT_FOUND' })
  t.match(record.derived, { 'gen_ai.request.model': 'gpt-4o', 'gen_ai.usage.input_tokens': 12 })
  t.equal(record.request.body.size, REQUEST.length)
  t.strictSame(other.policy.records, { action: 'keep', rule: 'standard/records/r1' })
  t.same(stored(other.request.body).toString(), '{"model":"o3"}')
  close()
})

t.test('discard: one small leaf says that, and by which rule; nothing of the exchange stays', async (t) => {
  const { records, ids, close } = await recorded(policyOf([{ action: 'discard', users: [1000] }]), [
    {},
    { open: { agent: { uid: 7 } } },
    { open: { agent: {} } },
  ])
  const [gone, other, unknown] = records as [AuditRecord, ExchangeRecord, ExchangeRecord]
  t.strictSame(gone, {
    v: 1,
    id: ids[0],
    time: gone.time,
    kind: 'audit',
    event: 'record-discarded',
    detail: { rule: 'standard/records/r0', policy: HASH },
  })
  t.equal(other.kind, 'exchange')
  t.equal(unknown.kind, 'exchange', 'in doubt nothing is discarded')
  close()
})

t.test('content is asked of the answer, too, also where that is a stream of pieces', async (t) => {
  const responseHead = Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
  const stream = (text: string) =>
    [...text].map((content) =>
      Buffer.from(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`),
    )
  const request = [Buffer.from('{"model":"gpt-4o"}')]
  const answers = [stream(`it is ${KEY}`), stream('it is nothing'), [Buffer.from([0xff, 0])]]
  const exchanges = answers.map((response) => ({ request, responseHead, response }))
  const less = await recorded(policyOf([{ action: 'metadata-only', content: ['secrets'] }]), exchanges)
  t.strictSame(
    (less.records as ExchangeRecord[]).map(({ policy, response }) => [
      policy.records?.action,
      response?.body.stored,
    ]),
    [
      ['metadata-only', false],
      ['anchor', true],
      ['metadata-only', false],
    ],
  )
  less.close()
  const none = await recorded(policyOf([{ action: 'discard', content: ['secrets'] }]), exchanges)
  t.strictSame(
    none.records.map(({ kind }) => kind),
    ['audit', 'exchange', 'exchange'],
    'in doubt nothing is discarded',
  )
  none.close()
})

t.test('redact: what is found is replaced in what is stored, in its own content coding', async (t) => {
  const events = [`data: {"x":"${KEY}"}\n\n`, 'data: [DONE]\n\n']
  const clean = (text: string) => text.replaceAll(KEY, '[redacted:openai-key]')
  const gzipHead = (head: Buffer) =>
    Buffer.from(head.toString().replace('\r\n\r\n', '\r\nContent-Encoding: gzip\r\n\r\n'))
  const zipped = gzipSync(REQUEST)
  const { records, stored, close } = await recorded(policyOf([{ action: 'redact', content: ['secrets'] }]), [
    {
      request: [REQUEST.subarray(0, 40), REQUEST.subarray(40)],
      response: events.map((one) => Buffer.from(one)),
    },
    {
      requestHead: gzipHead(REQUEST_HEAD),
      request: [zipped.subarray(0, 9), zipped.subarray(9)],
      responseHead: gzipHead(RESPONSE_HEAD),
      response: [gzipSync(`{"id":"1","model":"gpt-4o","x":"${KEY}"}`)],
    },
    { request: [Buffer.from('{"a":"plain"}')] },
  ])
  const [plain, coded, nothing] = records as [ExchangeRecord, ExchangeRecord, ExchangeRecord]
  t.strictSame(plain.policy.records, {
    action: 'redact',
    rule: 'standard/records/r0',
    redacted: 2,
    found: ['openai-key'],
  })
  t.equal(stored(plain.request.body).toString(), clean(REQUEST.toString()))
  t.equal(stored(plain.response!.body).toString(), clean(events.join('')))
  t.equal(gunzipSync(stored(coded.request.body)).toString(), clean(REQUEST.toString()))
  t.equal(
    gunzipSync(stored(coded.response!.body)).toString(),
    clean(`{"id":"1","model":"gpt-4o","x":"${KEY}"}`),
  )
  t.match(coded.derived, { 'gen_ai.request.model': 'gpt-4o', 'gen_ai.response.model': 'gpt-4o' })
  t.equal(nothing.policy.records?.redacted, 0)
  t.equal(stored(nothing.request.body).toString(), '{"a":"plain"}')
  close()
})

t.test('a WebSocket’s turn is judged by what was said in it, and redacted message by message', async (t) => {
  const message = (text: string) =>
    Buffer.concat(encodePiece({ kind: 'text', rsv: 0, bytes: Buffer.from(text), more: false }))
  const open = { webSocket: { connection: randomUUIDv7(), turn: 1 } }
  const asked = `{"type":"response.create","model":"gpt-5","input":"use ${KEY}"}`
  const responseHead = Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')
  const answer = [`{"delta":"${KEY}"}`, '{"type":"response.completed"}']
  const turn = { open, responseHead, request: [message(asked)], response: answer.map(message) }
  const binary = Buffer.concat(encodePiece({ kind: 'binary', rsv: 0, bytes: Buffer.from('x'), more: false }))
  const { records, stored, close } = await recorded(
    policyOf([
      { action: 'metadata-only', models: ['o3'] },
      { action: 'redact', content: ['secrets'] },
    ]),
    [turn, { ...turn, request: [message('{"model":"o3"}')] }, { ...turn, response: [binary] }],
  )
  const [redacted, metadata, mixed] = records as ExchangeRecord[]
  t.match(redacted?.policy.records, { action: 'redact', redacted: 2 })
  const clean = (text: string) => text.replaceAll(KEY, '[redacted:openai-key]')
  t.equal(stored(redacted!.request.body).toString(), message(clean(asked)).toString())
  t.equal(stored(redacted!.response!.body).toString(), answer.map((one) => message(clean(one))).join(''))
  t.match(metadata?.policy.records, { action: 'metadata-only' })
  t.equal(metadata?.request.body.stored, false)
  t.match([mixed?.request.body.stored, mixed?.response?.body.stored], [true, false])
  close()
})

t.test('redact: what can’t be looked into is not stored', async (t) => {
  const long = Buffer.alloc(1 << 20, 'x')
  const { records, stored, close } = await recorded(policyOf([{ action: 'redact', content: ['secrets'] }]), [
    { request: Array.from({ length: 17 }, () => long) },
    { request: [Buffer.from([0xff, 0xfe, 0x80])] },
    {
      responseHead: Buffer.from('HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n'),
      response: [Buffer.from('no gzip')],
    },
    {
      request: [],
      responseHead: Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n'),
      response: [Buffer.from('frames')],
    },
  ])
  const [tooLong, binary, damaged, upgraded] = records as ExchangeRecord[]
  t.match(tooLong?.request.body, { stored: false, size: 17 << 20 })
  t.equal(binary?.request.body.stored, false)
  t.equal(binary?.response?.body.stored, true)
  t.equal(damaged?.response?.body.stored, false)
  t.equal(stored(damaged!.request.body).toString().includes(KEY), false)
  t.match([upgraded?.request.body.stored, upgraded?.response?.body.stored], [false, false])
  close()
})

t.test('an exchange goes by the policy that it ran under, or the record says by which else', async (t) => {
  const first = policyOf([{ action: 'metadata-only' }])
  const second = { ...policyOf([]), hash: 'cd'.repeat(32) }
  const { records, close } = await recorded(
    first,
    [
      {},
      { open: { policy: { hash: second.hash, rule: 'x' } } },
      { open: { policy: { hash: 'ef'.repeat(32), rule: 'x' } } },
    ],
    second,
  )
  const [old, current, forgotten] = records as ExchangeRecord[]
  t.match(old?.policy.records, { action: 'metadata-only' })
  t.equal(current?.policy.records, undefined)
  t.equal(forgotten?.policy.records, undefined)
  close()
  const lost = await recorded(first, [{ open: { policy: { hash: 'ef'.repeat(32), rule: 'x' } } }])
  t.match((lost.records[0] as ExchangeRecord).policy.records, { action: 'metadata-only', hash: HASH })
  lost.close()
})

t.test('records name the agent by the first name that fits', async (t) => {
  const agents = [
    { name: 'builder', users: [7] },
    { name: 'somebody', users: [1000] },
  ]
  const { records, close } = await recorded(policyOf([], { agents }), [{}, { open: { agent: {} } }])
  t.match(records[0], { agent: { name: 'somebody', uid: 1000 } })
  t.strictSame((records[1] as ExchangeRecord).agent, {})
  close()
})
