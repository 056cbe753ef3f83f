import { randomUUIDv7 } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { encodeRecord } from '../../daemon/recorder/finalise/fit.ts'
import { parseLeaf, rowOf } from '../../daemon/recorder/index/row.ts'
import { type LogRecord, MAX_LEAF } from '../../daemon/recorder/record.ts'

const part = { digest: 'cd'.repeat(32), size: Number.MAX_SAFE_INTEGER, stored: true }
const count = Number.MAX_SAFE_INTEGER
const endpoint = { address: 'ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255', port: 65535 }

function exchange(text: string, credentials: number, reasons: number): LogRecord {
  return {
    v: 1,
    id: randomUUIDv7(),
    time: '2026-01-01T00:00:00.000Z',
    kind: 'exchange',
    outcome: 'upstream-unreachable',
    provider: text,
    server: {
      name: text,
      tls: true,
      originalDestination: endpoint,
      upstream: endpoint,
      destinationMismatch: true,
    },
    client: endpoint,
    agent: { uid: 4294967295, inode: count },
    credentials: Array.from({ length: credentials }, () => ({ where: text, fingerprint: text })),
    http: { method: text, target: text, status: 599 },
    timing: {
      requestEnd: 123456789.123,
      durable: 123456789.123,
      firstByte: 123456789.123,
      end: 123456789.123,
    },
    request: { head: part, body: part },
    response: { head: part, body: part },
    derived: {
      'gen_ai.provider.name': text,
      'gen_ai.operation.name': text,
      'gen_ai.request.model': text,
      'gen_ai.request.stream': true,
      'gen_ai.response.model': text,
      'gen_ai.response.id': text,
      'gen_ai.response.finish_reasons': Array.from({ length: reasons }, () => text),
      'gen_ai.usage.input_tokens': count,
      'gen_ai.usage.output_tokens': count,
      'gen_ai.usage.cache_read.input_tokens': count,
      'gen_ai.usage.cache_creation.input_tokens': count,
      'gen_ai.usage.reasoning.output_tokens': count,
      usageSource: 'reported',
      unparsed: text,
    },
    policy: { hash: 'ab'.repeat(32), rule: text },
    error: { code: text, message: text },
  }
}

t.test('any record fits in a leaf, parses against the schema, and keeps its ids and digests', async (t) => {
  const text = fc.oneof(
    fc.string({ maxLength: 3000, size: 'max' }),
    fc.string({ maxLength: 3000, size: 'max', unit: 'binary' }),
    fc.constantFrom(
      '\u0001'.repeat(5000),
      '"\\'.repeat(3000),
      '\ud800'.repeat(3000),
      '😀'.repeat(3000),
      'é'.repeat(600),
      '',
    ),
  )
  fc.assert(
    fc.property(text, fc.integer({ min: 0, max: 256 }), fc.integer({ min: 0, max: 128 }), (s, c, r) => {
      const record = exchange(s, c, r)
      const bytes = encodeRecord(record)
      const back = parseLeaf(bytes)
      if (bytes.length > MAX_LEAF || back.kind !== 'exchange') return false
      return (
        back.id === record.id &&
        back.request.head.digest === part.digest &&
        back.policy.hash === 'ab'.repeat(32)
      )
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('an ordinary record is not cut', async (t) => {
  const record = exchange('gpt-4o', 1, 1)
  t.same(parseLeaf(encodeRecord(record)), record)
})

t.test('a long detail of an audit record is cut, keys included', async (t) => {
  const detail = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`${'k'.repeat(300)}${i}`, 'v'.repeat(300)]),
  )
  const id = randomUUIDv7()
  const record: LogRecord = {
    v: 1,
    id,
    time: '2026-01-01T00:00:00.000Z',
    kind: 'audit',
    event: 'start',
    detail,
  }
  const bytes = encodeRecord(record)
  t.ok(bytes.length <= MAX_LEAF)
  t.match(parseLeaf(bytes), { id, kind: 'audit', event: 'start' })
})

t.test('the same record is the same bytes: keys sorted, no spaces', async (t) => {
  const id = randomUUIDv7()
  const record: LogRecord = {
    v: 1,
    id,
    time: '2026-01-01T00:00:00.000Z',
    kind: 'gap',
    cause: 'c',
    to: '2026-01-01T00:00:00.000Z',
    from: '2026-01-01T00:00:00.000Z',
  }
  const time = '"2026-01-01T00:00:00.000Z"'
  t.equal(
    encodeRecord(record).toString(),
    `{"cause":"c","from":${time},"id":"${id}","kind":"gap","time":${time},"to":${time},"v":1}`,
  )
})

t.test("a row's columns are the record's", async (t) => {
  const record = exchange('x', 1, 1)
  t.match(rowOf(5, Buffer.from('b'), record), {
    leaf: 5,
    id: record.id,
    kind: 'exchange',
    provider: 'x',
    uid: 4294967295,
    model: 'x',
    status: 599,
    outcome: 'upstream-unreachable',
    input_tokens: count,
    output_tokens: count,
  })
})
