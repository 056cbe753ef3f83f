import { randomUUIDv7 } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { evidenceRecord } from '../../daemon/recorder/evidence.ts'
import { encodeRecord } from '../../daemon/recorder/finalise/fit.ts'
import { parseLeaf, rowOf } from '../../daemon/recorder/index/row.ts'
import { type Agent, type ExchangeRecord, type LogRecord, MAX_LEAF } from '../../daemon/recorder/record.ts'

const part = { digest: 'cd'.repeat(32), size: Number.MAX_SAFE_INTEGER, stored: true }
const count = Number.MAX_SAFE_INTEGER
/** As long as JSON writes one. */
const LONG_NUMBER = -Math.PI * 1e-300
const endpoint = { address: 'ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255', port: 65535 }

/** An agent of eight processes, everything about them as long as it can be. */
const crowd = (text: string): Agent => ({
  uid: 4294967295,
  gid: 4294967295,
  inode: count,
  cgroup: text,
  unit: text,
  container: text,
  processes: Array.from({ length: 8 }, (_, i) => ({
    pid: 4194304 + i,
    name: text,
    executable: text,
    sha256: 'ef'.repeat(32),
    uid: 4294967295,
    gid: 4294967295,
    cgroup: text,
    unit: text,
    container: text,
  })),
  more: 5,
})

function exchange(text: string, credentials: number, reasons: number): ExchangeRecord {
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
    agent: crowd(text),
    flags: Array.from({ length: 16 }, () => text),
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
      'gen_ai.conversation.id': text,
      'gen_ai.request.max_tokens': count,
      'gen_ai.request.temperature': LONG_NUMBER,
      'gen_ai.request.top_p': LONG_NUMBER,
      'gen_ai.request.top_k': LONG_NUMBER,
      'gen_ai.request.frequency_penalty': LONG_NUMBER,
      'gen_ai.request.presence_penalty': LONG_NUMBER,
      'gen_ai.request.seed': -count,
      'gen_ai.request.choice.count': count,
      'gen_ai.response.time_to_first_chunk': 123456789.123456,
      'error.type': text,
      usageSource: 'reported',
      tools: Array.from({ length: Math.min(16, reasons) }, () => ({ name: text, id: text })),
      toolCalls: count,
      toolsOffered: { count, names: Array.from({ length: Math.min(16, reasons) }, () => text) },
      cost: {
        currency: 'USD',
        input: -LONG_NUMBER,
        output: -LONG_NUMBER,
        total: -LONG_NUMBER,
        source: '@pydantic/genai-prices 100.100.100',
      },
      streaming: { firstToken: 123456789.123, pieces: count, gapP50: 123456789.123, gapMax: 123456789.123 },
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
      const { processes = [], more = 0 } = back.agent
      return (
        processes.length + more === 13 &&
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
  const record = { ...exchange('gpt-4o', 1, 1), agent: { uid: 1000, gid: 1000, processes: [] } }
  t.same(parseLeaf(encodeRecord(record)), record)
})

t.test('a sighting fits as well', async (t) => {
  for (const text of ['\u0001'.repeat(8192), '😀'.repeat(3000), 'x']) {
    for (const type of ['leak', 'refusal'] as const) {
      const sighting = {
        ...{ type, rule: text, reason: text, protocol: 'udp', agent: crowd(text), client: endpoint },
        ...{ destination: endpoint, serverName: text, count, from: 0, to: Number.NaN, via: text },
        policy: 'ab'.repeat(32),
      }
      const bytes = encodeRecord(evidenceRecord(sighting))
      t.ok(bytes.length <= MAX_LEAF, `${bytes.length} bytes`)
      const record = parseLeaf(bytes)
      t.match(record, { kind: type, count, via: /./, policy: { hash: 'ab'.repeat(32) } })
      t.match(rowOf(1, bytes, record), { kind: type, uid: 4294967295, provider: null })
    }
  }
})

t.test('processes that had to go for long paths are counted', async (t) => {
  const processes = Array.from({ length: 8 }, (_, i) => ({
    ...{ pid: 100 + i, name: 'node', sha256: 'ef'.repeat(32) },
    executable: `/home/agent/${'deep/'.repeat(800)}node`,
  }))
  const whole = exchange('gpt-4o', 1, 1)
  const derived = {
    'gen_ai.provider.name': 'openai',
    'gen_ai.request.model': 'gpt-4o',
    usageSource: 'none',
  } as const
  const record = { ...whole, derived, agent: { uid: 1000, processes, more: 2 } }
  const back = parseLeaf(encodeRecord(record))
  t.match(back, {
    agent: { uid: 1000, processes: [{ pid: 100 }, { pid: 101 }, {}, { sha256: 'ef'.repeat(32) }], more: 6 },
  })
  t.match(back, { derived: { 'gen_ai.request.model': 'gpt-4o' } }, 'and nothing else did')
  const short = processes.map((one) => ({ ...one, executable: `/opt/${'x'.repeat(80)}/node` }))
  const ordinary = { ...record, agent: { uid: 1000, processes: short } }
  t.same(parseLeaf(encodeRecord(ordinary)), ordinary, 'eight processes with ordinary paths fit')
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

t.test('tools go before anything else does, and are counted', async (t) => {
  const names = Array.from({ length: 16 }, (_, i) => `mcp__server__${'a-rather-long-name_'.repeat(4)}${i}`)
  const tools = names.map((name, i) => ({ name, id: `toolu_01${'x'.repeat(24)}${i}` }))
  const record = exchange('gpt-4o', 1, 1)
  const { derived } = record
  const whole = {
    ...record,
    agent: { uid: 1000 },
    derived: { ...derived, tools, toolCalls: 40, toolsOffered: { count: 90, names } },
  }
  const back = parseLeaf(encodeRecord(whole)) as ExchangeRecord
  t.same(back.derived.tools, tools.slice(0, 4))
  t.match(back.derived, { toolCalls: 40, toolsOffered: { count: 90 } })
  t.equal(back.derived.toolsOffered?.names.length, 4)
  const { tools: _, toolsOffered: __, ...rest } = back.derived
  const { tools: ___, toolsOffered: ____, ...expected } = whole.derived
  t.same({ ...back, derived: rest }, { ...whole, derived: expected })
})
