import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { derive } from '../../daemon/recorder/derive/derive.ts'
import { parseHead, requestLine, statusOf } from '../../daemon/recorder/derive/http-head.ts'
import { chat, chunk, json, requestHead, responseHead, STOP, sse, TIME, USAGE } from './derive-fixture.ts'

const namedSse = (...events: { type: string }[]) =>
  Buffer.from(events.map((e) => `event: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join(''))

const EVENT_STREAM = responseHead('text/event-stream; charset=utf-8')
t.test('openai chat completions, JSON', async (t) => {
  const body = json({
    id: 'chatcmpl-1',
    model: 'gpt-4o-2024-08-06',
    choices: [
      { index: 1, finish_reason: 'length', message: { content: 'b' } },
      { index: 0, finish_reason: 'stop', message: { content: 'a' } },
    ],
    usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 },
  })
  const { cost: _, ...derived } = chat({ body, request: { model: 'gpt-4o', stream: false, messages: [] } })
  t.same(derived, {
    'gen_ai.provider.name': 'openai',
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'gpt-4o',
    'gen_ai.request.stream': false,
    'gen_ai.response.model': 'gpt-4o-2024-08-06',
    'gen_ai.response.id': 'chatcmpl-1',
    'gen_ai.response.finish_reasons': ['stop', 'length'],
    'gen_ai.usage.input_tokens': 12,
    'gen_ai.usage.output_tokens': 3,
    usageSource: 'reported',
  })
})

t.test('openai chat completions, SSE with include_usage: the last chunk has the usage', async (t) => {
  const body = sse(chunk({}), chunk({ usage: null }), STOP, USAGE, '[DONE]')
  const { cost: _, ...derived } = chat({
    head: EVENT_STREAM,
    body,
    request: { model: 'gpt-4o', stream: true },
  })
  t.same(derived, {
    'gen_ai.provider.name': 'openai',
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'gpt-4o',
    'gen_ai.request.stream': true,
    'gen_ai.response.model': 'gpt-4o-2024-08-06',
    'gen_ai.response.id': 'chatcmpl-9',
    'gen_ai.response.finish_reasons': ['stop'],
    'gen_ai.usage.input_tokens': 120,
    'gen_ai.usage.output_tokens': 40,
    'gen_ai.usage.cache_read.input_tokens': 100,
    'gen_ai.usage.reasoning.output_tokens': 16,
    usageSource: 'reported',
  })
})

t.test('openai chat completions, SSE without include_usage: no usage is invented', async (t) => {
  const derived = chat({ head: EVENT_STREAM, body: sse(chunk({}), STOP, '[DONE]') })
  t.equal(derived.usageSource, 'none')
  t.notOk('gen_ai.usage.input_tokens' in derived)
  t.same(derived['gen_ai.response.finish_reasons'], ['stop'])
})

t.test('a stream that was cut off gives what had come', async (t) => {
  const whole = sse(chunk({}), chunk({}), STOP, USAGE)
  const derived = chat({ head: EVENT_STREAM, body: whole.subarray(0, 300) })
  t.match(derived, { 'gen_ai.response.id': 'chatcmpl-9', usageSource: 'none' })
  t.notOk('unparsed' in derived)
  // Cut behind the usage's JSON, before the blank line that would end the event.
  t.equal(chat({ head: EVENT_STREAM, body: whole.subarray(0, -2) })['gen_ai.usage.output_tokens'], 40)
})

t.test("groq's usage, deepseek's cache, azure's model in the path", async (t) => {
  const groq = sse(chunk({ x_groq: { id: 'req', usage: { prompt_tokens: 5, completion_tokens: 6 } } }))
  t.match(chat({ head: EVENT_STREAM, body: groq, provider: 'groq' }), {
    'gen_ai.usage.input_tokens': 5,
    'gen_ai.usage.output_tokens': 6,
    'gen_ai.provider.name': 'groq',
  })
  const deepseek = json({ usage: { prompt_tokens: 9, completion_tokens: 1, prompt_cache_hit_tokens: 8 } })
  t.equal(chat({ body: deepseek })['gen_ai.usage.cache_read.input_tokens'], 8)
  const line = 'POST /openai/deployments/my%20gpt/chat/completions?api-version=1'
  t.match(chat({ line, request: { messages: [] }, provider: 'azure', body: json({}) }), {
    'gen_ai.request.model': 'my gpt',
    'gen_ai.provider.name': 'azure.ai.openai',
  })
})

t.test('completions and embeddings', async (t) => {
  t.match(chat({ line: 'POST /v1/completions', body: json({ choices: [{ finish_reason: 'stop' }] }) }), {
    'gen_ai.operation.name': 'text_completion',
    'gen_ai.response.finish_reasons': ['stop'],
  })
  const body = json({ model: 'text-embedding-3-small', usage: { prompt_tokens: 8, total_tokens: 8 } })
  const derived = chat({ line: 'POST /v1/embeddings', body })
  t.match(derived, {
    'gen_ai.operation.name': 'embeddings',
    'gen_ai.usage.input_tokens': 8,
    usageSource: 'reported',
  })
  t.notOk('gen_ai.usage.output_tokens' in derived)
})

const RESPONSE = {
  id: 'resp_1',
  model: 'gpt-4.1-2025-04-14',
  status: 'completed',
  usage: {
    input_tokens: 36,
    input_tokens_details: { cached_tokens: 4 },
    output_tokens: 87,
    output_tokens_details: { reasoning_tokens: 12 },
  },
}
const RESPONSE_DERIVED = {
  'gen_ai.response.id': 'resp_1',
  'gen_ai.response.model': 'gpt-4.1-2025-04-14',
  'gen_ai.response.finish_reasons': ['completed'],
  'gen_ai.usage.input_tokens': 36,
  'gen_ai.usage.output_tokens': 87,
  'gen_ai.usage.cache_read.input_tokens': 4,
  'gen_ai.usage.reasoning.output_tokens': 12,
  usageSource: 'reported',
}

t.test('openai responses, JSON and SSE', async (t) => {
  const line = 'POST /v1/responses'
  t.match(chat({ line, body: json(RESPONSE) }), RESPONSE_DERIVED)
  const started = { ...RESPONSE, status: 'in_progress', usage: null }
  const events = [
    { type: 'response.created', response: started },
    { type: 'response.output_text.delta', delta: 'Hi' },
  ]
  const aborted = chat({ line, head: EVENT_STREAM, body: namedSse(...events) })
  t.match(aborted, { 'gen_ai.response.id': 'resp_1', usageSource: 'none' })
  t.notOk('gen_ai.response.finish_reasons' in aborted)
  const whole = namedSse(...events, { type: 'response.completed', response: RESPONSE } as { type: string })
  t.match(chat({ line, head: EVENT_STREAM, body: whole }), RESPONSE_DERIVED)
  const cut = { ...RESPONSE, status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }
  t.same(chat({ line, body: json(cut) })['gen_ai.response.finish_reasons'], ['max_output_tokens'])
})

const anthropic = (head: Buffer, body: Buffer) =>
  chat({
    line: 'POST /v1/messages',
    provider: 'anthropic',
    request: { model: 'claude-sonnet-4-5' },
    head,
    body,
  })
const START = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    model: 'claude-sonnet-4-5-20250929',
    usage: {
      input_tokens: 10,
      cache_creation_input_tokens: 200,
      cache_read_input_tokens: 3000,
      output_tokens: 1,
    },
  },
}

t.test('anthropic messages, JSON: input includes the cache', async (t) => {
  const body = json({
    ...START.message,
    stop_reason: 'end_turn',
    usage: { ...START.message.usage, output_tokens: 55 },
  })
  const { cost: _, ...derived } = anthropic(responseHead('application/json'), body)
  t.same(derived, {
    'gen_ai.provider.name': 'anthropic',
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'claude-sonnet-4-5',
    'gen_ai.response.model': 'claude-sonnet-4-5-20250929',
    'gen_ai.response.id': 'msg_1',
    'gen_ai.response.finish_reasons': ['end_turn'],
    'gen_ai.usage.input_tokens': 3210,
    'gen_ai.usage.output_tokens': 55,
    'gen_ai.usage.cache_read.input_tokens': 3000,
    'gen_ai.usage.cache_creation.input_tokens': 200,
    usageSource: 'reported',
  })
})

t.test('anthropic messages, SSE: the final output count comes from message_delta', async (t) => {
  const delta = { type: 'message_delta', delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 77 } }
  const text = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi' } }
  t.match(anthropic(EVENT_STREAM, namedSse(START, { type: 'ping' }, text, delta, { type: 'message_stop' })), {
    'gen_ai.usage.input_tokens': 3210,
    'gen_ai.usage.output_tokens': 77,
    'gen_ai.response.finish_reasons': ['tool_use'],
  })
  const aborted = anthropic(EVENT_STREAM, namedSse(START, text))
  t.equal(aborted['gen_ai.usage.input_tokens'], 3210)
  t.notOk('gen_ai.usage.output_tokens' in aborted, 'the first token is no count of the output')
})

t.test('what has no parser says so, with what the path tells', async (t) => {
  t.match(chat({ line: 'POST /v1/batches?x=1', provider: 'groq', body: json({}) }), {
    'gen_ai.provider.name': 'groq',
    unparsed: 'no parser for POST /v1/batches',
  })
  t.match(chat({ line: 'GET /v1/models', body: json({}) }).unparsed, 'no parser for GET /v1/models')
  t.match(chat({}).unparsed, 'no response')
  t.match(chat({ body: { unparsed: 'bodies with tokens or keys are not kept' } }).unparsed, /not kept/)
  t.match(chat({ body: Buffer.from('<html>') }).unparsed, /not JSON/)
  const upgraded = Buffer.from('HTTP/1.1 101 Switching Protocols\r\n\r\n')
  t.match(chat({ head: upgraded, body: Buffer.from('x') }).unparsed, /upgraded/)
  t.match(
    chat({ head: responseHead('text/plain', 'content-encoding: rot13'), body: Buffer.from('x') }).unparsed,
    /rot13/,
  )
})

t.test("the catalogue's names win over the ids", async (t) => {
  const derived = derive({
    time: TIME,
    provider: 'mycorp',
    telemetryName: 'openai',
    style: 'anthropic-messages',
    requestHead: requestHead('POST /llm/messages'),
    requestBody: json({ model: 'm' }),
    response: {
      head: responseHead('application/json'),
      body: json({ id: 'msg', usage: { output_tokens: 1 } }),
    },
  })
  t.match(derived, {
    'gen_ai.provider.name': 'openai',
    'gen_ai.response.id': 'msg',
    'gen_ai.usage.output_tokens': 1,
  })
})

t.test('numbers and names of the wrong kind are left out', async (t) => {
  const usage = { prompt_tokens: -1, completion_tokens: 1e300, prompt_tokens_details: { cached_tokens: '7' } }
  const derived = chat({ body: json({ id: 7, model: ['x'], choices: { 0: 'x' }, usage }) })
  t.same(Object.keys(derived).sort(), [
    'gen_ai.operation.name',
    'gen_ai.provider.name',
    'gen_ai.request.model',
    'usageSource',
  ])
})

t.test('whatever is sent and answered, a Derived comes out', async (t) => {
  const bytes = fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b))
  const value = fc.oneof(
    fc.json().map((j) => Buffer.from(j)),
    fc.anything().map((v) => sse(v)),
    fc.constant(sse(chunk({}), STOP, USAGE)),
    fc.constant(namedSse(START)),
    bytes,
  )
  const line = fc.constantFrom(
    '/v1/chat/completions',
    '/v1/responses',
    '/v1/messages',
    '/v1/embeddings',
    '/x',
    '',
  )
  const type = fc.constantFrom('application/json', 'text/event-stream', '', 'x')
  const coding = fc.constantFrom('', 'gzip', 'br', 'zstd', 'deflate', 'gzip,br', '__proto__', 'constructor')
  const mutated = fc.tuple(value, fc.nat(), fc.nat({ max: 255 })).map(([body, at, to]) => {
    const copy = Buffer.from(body)
    if (copy.length > 0) copy[at % copy.length] = to
    return copy
  })
  fc.assert(
    fc.property(line, type, coding, mutated, mutated, bytes, (path, kind, code, request, body, junk) => {
      for (const head of [responseHead(kind, `content-encoding: ${code}`), junk]) {
        const derived = derive({
          time: TIME,
          provider: path,
          requestHead: path === '' ? junk : requestHead(`POST ${path}`),
          requestBody: request,
          response: { head, body },
        })
        if (derived.usageSource !== 'none' && derived.usageSource !== 'reported') return false
        if (derived.unparsed?.startsWith('the parser failed')) return false
      }
      return true
    }),
    { numRuns: 3000 },
  )
  t.pass()
})

t.test('heads of HTTP/2 are read like those of HTTP/1.1, and neither is taken for the other', async (t) => {
  const seen = derive({
    time: TIME,
    provider: 'openai',
    requestHead: Buffer.from(
      ':authority: api.openai.com\r\n:method: POST\r\n:path: /v1/chat/completions?a=b c\r\ncontent-type: application/json\r\n\r\n',
    ),
    requestBody: json({ model: 'gpt-4o' }),
    response: {
      head: Buffer.from(':status: 200\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\r\n'),
      body: gzipSync(json({ id: 'chatcmpl-1', model: 'gpt-4o-2024-08-06' })),
    },
  })
  t.match(seen, { 'gen_ai.operation.name': 'chat', 'gen_ai.response.model': 'gpt-4o-2024-08-06' })
  t.equal(seen.unparsed, undefined)
  t.same(requestLine(parseHead(Buffer.from('POST /x HTTP/1.1\r\n:path: /y\r\n\r\n'))), {
    method: 'POST',
    target: '/x',
  })
  t.equal(statusOf(parseHead(Buffer.from(':status: 204\r\n\r\ngrpc-status: 0\r\n'))), 204)
  t.same(requestLine(parseHead(Buffer.from(':status: 204\r\n\r\n'))), {})
})
