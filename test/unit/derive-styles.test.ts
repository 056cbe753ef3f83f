import { gzipSync } from 'node:zlib'
import t from 'tap'
import { derive } from '../../daemon/recorder/derive/derive.ts'
import {
  AWS_STREAM,
  awsMessage,
  connectFrame,
  derived,
  json,
  requestHead,
  responseHead,
  sse,
  TIME,
} from './derive-fixture.ts'

const SSE = responseHead('text/event-stream')

t.test('gemini', async (t) => {
  const line = 'POST /v1beta/models/gemini-2.5-pro:streamGenerateContent'
  const request = {
    model: 'a name that the provider would not look at',
    contents: [],
    generationConfig: {
      maxOutputTokens: 99,
      temperature: 0,
      topP: 0.9,
      topK: 40,
      seed: -3,
      candidateCount: 1,
    },
    tools: [{ functionDeclarations: [{ name: 'a' }, { name: 'b' }] }, { codeExecution: {} }],
  }
  const part = (parts: unknown[], over: object = {}) => ({
    candidates: [{ index: 0, content: { role: 'model', parts }, ...over }],
    usageMetadata: { promptTokenCount: 10, totalTokenCount: 10 },
    modelVersion: 'gemini-2.5-pro-001',
    responseId: 'r-1',
  })
  const last = {
    ...part([{ functionCall: { name: 'a', args: {} } }, { functionCall: { name: 'a', args: { x: 1 } } }], {
      finishReason: 'STOP',
    }),
    usageMetadata: {
      promptTokenCount: 10,
      candidatesTokenCount: 5,
      thoughtsTokenCount: 20,
      toolUsePromptTokenCount: 2,
      cachedContentTokenCount: 8,
      totalTokenCount: 37,
    },
  }
  const expected = {
    'gen_ai.provider.name': 'gcp.gemini',
    'gen_ai.operation.name': 'generate_content',
    'gen_ai.request.model': 'gemini-2.5-pro',
    'gen_ai.request.stream': true,
    'gen_ai.request.max_tokens': 99,
    'gen_ai.request.temperature': 0,
    'gen_ai.request.top_p': 0.9,
    'gen_ai.request.top_k': 40,
    'gen_ai.request.seed': -3,
    'gen_ai.request.choice.count': 1,
    'gen_ai.response.model': 'gemini-2.5-pro-001',
    'gen_ai.response.id': 'r-1',
    'gen_ai.response.finish_reasons': ['STOP'],
    'gen_ai.usage.input_tokens': 12,
    'gen_ai.usage.output_tokens': 25,
    'gen_ai.usage.cache_read.input_tokens': 8,
    'gen_ai.usage.reasoning.output_tokens': 20,
    usageSource: 'reported',
    tools: [{ name: 'a' }, { name: 'a' }],
    toolCalls: 2,
    toolsOffered: { count: 3, names: ['a', 'b', 'codeExecution'] },
  }
  const base = { provider: 'gemini', style: 'gemini', request }
  const events = [part([{ text: 'Hi' }]), last]
  const asEvents = { ...base, line: `${line}?alt=sse`, head: SSE, body: sse(...events) }
  t.same(derived(asEvents), expected, 'SSE')
  const array = Buffer.from(JSON.stringify(events, null, 2))
  t.same(derived({ ...base, line, body: array }), expected, 'an array')
  const cut = derived({ ...base, line, body: array.subarray(0, array.length - 40) })
  t.match(
    cut,
    { 'gen_ai.response.id': 'r-1', 'gen_ai.usage.input_tokens': 10 },
    'an array that was broken off',
  )
  const whole = derived({ ...base, line: line.replace('streamG', 'g'), body: json(last) })
  const { 'gen_ai.request.stream': _, ...unstreamed } = expected
  t.same(whole, unstreamed, 'JSON')
  const vertex = '/v1/projects/p/locations/eu/publishers/google/models/gemini-2.5-pro:streamGenerateContent'
  t.match(derived({ ...asEvents, provider: 'vertex', line: `POST ${vertex}` }), {
    'gen_ai.provider.name': 'gcp.vertex_ai',
    'gen_ai.response.model': 'gemini-2.5-pro-001',
  })
  const envelope = { model: 'gemini-2.5-flash', request }
  t.match(
    derived({
      ...base,
      provider: 'gemini_cli',
      line: 'POST /v1internal:streamGenerateContent?alt=sse',
      request: envelope,
      head: SSE,
      body: sse({ response: last }),
    }),
    { 'gen_ai.request.model': 'gemini-2.5-flash', toolCalls: 2, toolsOffered: { count: 3 } },
    "Gemini CLI's envelope",
  )
  const blocked = { promptFeedback: { blockReason: 'SAFETY' }, usageMetadata: { promptTokenCount: 4 } }
  t.match(derived({ ...base, line, body: json(blocked) }), { 'gen_ai.response.finish_reasons': ['SAFETY'] })
})

t.test("other makers' models on Vertex", async (t) => {
  const publishers = 'POST /v1/projects/p/locations/us/publishers'
  const message = { id: 'msg_1', model: 'claude-sonnet-4-5', content: [], usage: { input_tokens: 3 } }
  t.match(
    derived({
      provider: 'vertex',
      style: 'gemini',
      line: `${publishers}/anthropic/models/claude-sonnet-4-5@20250929:rawPredict`,
      request: { max_tokens: 5 },
      body: json(message),
    }),
    {
      'gen_ai.request.model': 'claude-sonnet-4-5@20250929',
      'gen_ai.response.id': 'msg_1',
      'gen_ai.usage.input_tokens': 3,
    },
  )
})

t.test('bedrock converse', async (t) => {
  const request = {
    messages: [],
    inferenceConfig: { maxTokens: 512, temperature: 0.5, topP: 0.9 },
    toolConfig: { tools: [{ toolSpec: { name: 'top_song' } }, { cachePoint: { type: 'default' } }] },
  }
  const usage = { inputTokens: 30, outputTokens: 9, cacheReadInputTokens: 4, cacheWriteInputTokens: 6 }
  const expected = {
    'gen_ai.provider.name': 'aws.bedrock',
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0',
    'gen_ai.request.max_tokens': 512,
    'gen_ai.request.temperature': 0.5,
    'gen_ai.request.top_p': 0.9,
    'gen_ai.response.finish_reasons': ['tool_use'],
    'gen_ai.usage.input_tokens': 40,
    'gen_ai.usage.output_tokens': 9,
    'gen_ai.usage.cache_read.input_tokens': 4,
    'gen_ai.usage.cache_creation.input_tokens': 6,
    usageSource: 'reported',
    tools: [{ name: 'top_song', id: 'tooluse_1' }],
    toolCalls: 1,
    toolsOffered: { count: 1, names: ['top_song'] },
  }
  const line = 'POST /model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse'
  const base = { provider: 'bedrock', style: 'bedrock-converse', request }
  const use = { toolUseId: 'tooluse_1', name: 'top_song' }
  const content = [{ text: 'Let me look' }, { toolUse: { ...use, input: {} } }]
  const body = json({ output: { message: { role: 'assistant', content } }, stopReason: 'tool_use', usage })
  t.same(derived({ ...base, line, body }), expected)

  const stream = Buffer.concat([
    awsMessage('messageStart', { role: 'assistant' }),
    awsMessage('contentBlockDelta', { contentBlockIndex: 0, delta: { text: 'Let' } }),
    awsMessage('contentBlockStart', { contentBlockIndex: 1, start: { toolUse: use } }),
    awsMessage('messageStop', { stopReason: 'tool_use' }),
    awsMessage('metadata', { usage, metrics: { latencyMs: 3 } }),
  ])
  const streamed = { ...base, line: `${line}-stream`, head: AWS_STREAM }
  t.same(derived({ ...streamed, body: stream }), { ...expected, 'gen_ai.request.stream': true })
  const cut = derived({ ...streamed, body: stream.subarray(0, -1) })
  t.match(cut, { usageSource: 'none', 'gen_ai.response.finish_reasons': ['tool_use'] }, 'broken off')
  t.notOk('unparsed' in cut)
  const damaged = Buffer.from(stream)
  damaged[stream.length - 20]! ^= 1
  t.match(derived({ ...streamed, body: damaged }), {
    toolCalls: 1,
    unparsed: 'response: a damaged event stream',
  })
  const throttled = awsMessage('throttlingException', { message: 'Too many requests' }, 'exception')
  t.match(derived({ ...streamed, body: throttled }), { 'error.type': 'throttlingException' })
})

t.test("bedrock invoke: the bodies are the makers' own", async (t) => {
  const path = (model: string, end: string) => `POST /model/${encodeURIComponent(model)}/invoke${end}`
  const base = { provider: 'bedrock', style: 'bedrock-converse' }
  const chunk = (event: unknown) =>
    awsMessage('chunk', { bytes: json(event).toString('base64'), p: 'abcdefg' })
  const metrics = { 'amazon-bedrock-invocationMetrics': { inputTokenCount: 25, outputTokenCount: 8 } }
  const events = [
    { type: 'message_start', message: { id: 'msg_bdrk_1', model: 'claude-sonnet-4-5', usage: {} } },
    { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: 'toolu_1', name: 'ls' } },
    { type: 'message_delta', delta: { stop_reason: 'tool_use' } },
    { type: 'message_stop', ...metrics },
  ]
  const anthropic = derived({
    ...base,
    line: path('anthropic.claude-sonnet-4-5-20250929-v1:0', '-with-response-stream'),
    request: { anthropic_version: 'bedrock-2023-05-31', max_tokens: 9, tools: [{ name: 'ls' }] },
    head: AWS_STREAM,
    body: Buffer.concat(events.map(chunk)),
  })
  t.same(anthropic, {
    'gen_ai.provider.name': 'aws.bedrock',
    'gen_ai.request.model': 'anthropic.claude-sonnet-4-5-20250929-v1:0',
    'gen_ai.request.stream': true,
    'gen_ai.request.max_tokens': 9,
    'gen_ai.response.id': 'msg_bdrk_1',
    'gen_ai.response.model': 'claude-sonnet-4-5',
    'gen_ai.response.finish_reasons': ['tool_use'],
    'gen_ai.usage.input_tokens': 25,
    'gen_ai.usage.output_tokens': 8,
    usageSource: 'reported',
    tools: [{ name: 'ls', id: 'toolu_1' }],
    toolCalls: 1,
    toolsOffered: { count: 1, names: ['ls'] },
  })
  const llama = { generation: 'hi', prompt_token_count: 7, generation_token_count: 2, stop_reason: 'stop' }
  t.match(derived({ ...base, line: path('meta.llama3-70b-instruct-v1:0', ''), body: json(llama) }), {
    'gen_ai.usage.input_tokens': 7,
    'gen_ai.usage.output_tokens': 2,
    'gen_ai.response.finish_reasons': ['stop'],
  })
  const titan = { inputTextTokenCount: 5, results: [{ tokenCount: 3, completionReason: 'FINISH' }] }
  t.match(derived({ ...base, line: path('amazon.titan-text-express-v1', ''), body: json(titan) }), {
    'gen_ai.usage.input_tokens': 5,
    'gen_ai.usage.output_tokens': 3,
    'gen_ai.response.finish_reasons': ['FINISH'],
  })
  const nova = [
    { messageStart: { role: 'assistant' } },
    { contentBlockStart: { start: { toolUse: { toolUseId: 't', name: 'go' } } } },
    { messageStop: { stopReason: 'tool_use' } },
    { metadata: { usage: { inputTokens: 6, outputTokens: 1 } }, ...metrics },
  ]
  t.match(
    derived({
      ...base,
      line: path('us.amazon.nova-pro-v1:0', '-with-response-stream'),
      head: AWS_STREAM,
      body: Buffer.concat(nova.map(chunk)),
    }),
    { 'gen_ai.usage.input_tokens': 6, tools: [{ name: 'go', id: 't' }], toolCalls: 1 },
    "Nova's own numbers win over Bedrock's",
  )
  const counted = responseHead(
    'application/json',
    'X-Amzn-Bedrock-Input-Token-Count: 11',
    'X-Amzn-Bedrock-Output-Token-Count: 4',
  )
  t.match(
    derived({ ...base, line: path('stability.sd3', ''), head: counted, body: json({ images: [] }) }),
    { 'gen_ai.usage.input_tokens': 11, 'gen_ai.usage.output_tokens': 4 },
    'header fields serve where the body says nothing',
  )
})

t.test('cohere', async (t) => {
  const base = { provider: 'cohere', style: 'cohere-v2', line: 'POST /v2/chat' }
  const request = {
    model: 'command-a-03-2025',
    stream: true,
    p: 0.75,
    k: 3,
    tools: [{ type: 'function', function: { name: 'q' } }],
  }
  const usage = {
    billed_units: { input_tokens: 17, output_tokens: 12 },
    tokens: { input_tokens: 120, output_tokens: 40 },
    cached_tokens: 64,
  }
  const call = { id: 'q_1', type: 'function', function: { name: 'q', arguments: '' } }
  const expected = {
    'gen_ai.provider.name': 'cohere',
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'command-a-03-2025',
    'gen_ai.request.stream': true,
    'gen_ai.request.top_p': 0.75,
    'gen_ai.request.top_k': 3,
    'gen_ai.response.id': 'c-1',
    'gen_ai.response.finish_reasons': ['TOOL_CALL'],
    'gen_ai.usage.input_tokens': 120,
    'gen_ai.usage.output_tokens': 40,
    'gen_ai.usage.cache_read.input_tokens': 64,
    usageDetails: { billedInput: 17, billedOutput: 12 },
    usageSource: 'reported',
    tools: [{ name: 'q', id: 'q_1' }],
    toolCalls: 1,
    toolsOffered: { count: 1, names: ['q'] },
  }
  const events = [
    { type: 'message-start', id: 'c-1', delta: { message: { role: 'assistant' } } },
    { type: 'tool-call-start', index: 0, delta: { message: { tool_calls: call } } },
    { type: 'message-end', delta: { finish_reason: 'TOOL_CALL', usage } },
  ]
  t.same(derived({ ...base, request, head: SSE, body: sse(...events) }), expected)
  const whole = { id: 'c-1', finish_reason: 'TOOL_CALL', message: { tool_calls: [call] }, usage }
  t.same(derived({ ...base, request, body: json(whole) }), expected)
  t.match(
    derived({
      ...base,
      line: 'POST /v2/embed',
      request: { model: 'embed-v4.0' },
      body: json({ id: 'e', embeddings: {}, meta: { billed_units: { input_tokens: 9 } } }),
    }),
    { 'gen_ai.operation.name': 'embeddings', 'gen_ai.usage.input_tokens': 9 },
  )
})

t.test('ollama', async (t) => {
  const base = { provider: 'ollama', style: 'ollama', line: 'POST /api/chat' }
  const request = { model: 'llama3.2', options: { num_predict: 64, temperature: 0.1, seed: 7 } }
  const call = { function: { name: 'get_weather', arguments: {} } }
  const end = { model: 'llama3.2', done: true, done_reason: 'stop', prompt_eval_count: 26, eval_count: 298 }
  const lines = [
    { model: 'llama3.2', message: { role: 'assistant', content: '', tool_calls: [call] }, done: false },
    end,
  ]
  const body = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  const expected = {
    'gen_ai.provider.name': 'ollama',
    'gen_ai.operation.name': 'chat',
    'gen_ai.request.model': 'llama3.2',
    'gen_ai.request.max_tokens': 64,
    'gen_ai.request.temperature': 0.1,
    'gen_ai.request.seed': 7,
    'gen_ai.response.model': 'llama3.2',
    'gen_ai.response.finish_reasons': ['stop'],
    'gen_ai.usage.input_tokens': 26,
    'gen_ai.usage.output_tokens': 298,
    usageSource: 'reported',
    tools: [{ name: 'get_weather' }],
    toolCalls: 1,
  }
  const head = responseHead('application/x-ndjson')
  t.same(derived({ ...base, request, head, body }), expected)
  t.match(derived({ ...base, request, head, body: body.subarray(0, -30) }), {
    toolCalls: 1,
    usageSource: 'none',
  })
  t.match(derived({ ...base, line: 'POST /api/generate', body: json({ ...end, response: 'hi' }) }), {
    'gen_ai.operation.name': 'text_completion',
    'gen_ai.usage.output_tokens': 298,
  })
})

t.test('connect: the frames are counted, the protobuf is left alone', async (t) => {
  const base = {
    provider: 'cursor',
    style: 'connect-proto',
    line: 'POST /aiserver.v1.ChatService/StreamUnifiedChatWithTools',
    request: Buffer.from([0, 0, 0, 0, 1, 8]),
    head: responseHead('application/connect+proto'),
  }
  const error = json({ error: { code: 'resource_exhausted', message: 'slow down' } })
  for (const end of [connectFrame(2, error), connectFrame(3, gzipSync(error))]) {
    const body = Buffer.concat([connectFrame(0, Buffer.from([8, 1])), end])
    t.same(derived({ ...base, body }), {
      'gen_ai.provider.name': 'cursor',
      'gen_ai.operation.name': 'chat',
      'error.type': 'resource_exhausted',
      usageSource: 'none',
      unparsed: "the vendor's own protobuf",
    })
  }
  t.match(derived({ ...base, body: Buffer.from('<html> a page') }), {
    unparsed: 'response: no Connect frames',
  })
  t.match(derived({ ...base, line: 'GET /', body: Buffer.from('x') }), { unparsed: 'no parser for GET /' })
})

t.test('errors are named by the provider, else by the status', async (t) => {
  const openai = { provider: 'openai', line: 'POST /v1/chat/completions', request: { model: 'gpt-4o' } }
  const failed = (status: string, body: unknown, ...fields: string[]) => {
    const head = Buffer.from(
      [`HTTP/1.1 ${status}`, 'Content-Type: application/json', ...fields, '', ''].join('\r\n'),
    )
    return derived({ ...openai, head, body: json(body) })['error.type']
  }
  t.equal(
    failed('401 x', { error: { type: 'invalid_request_error', code: 'invalid_api_key' } }),
    'invalid_api_key',
  )
  t.equal(failed('529 x', { type: 'error', error: { type: 'overloaded_error' } }), 'overloaded_error')
  t.equal(failed('400 x', { error: { code: 400, status: 'INVALID_ARGUMENT' } }), 'INVALID_ARGUMENT')
  t.equal(failed('400 x', {}, 'x-amzn-ErrorType: ValidationException:http://x/'), 'ValidationException')
  t.equal(failed('503 x', { error: { code: 'an essay with spaces in it' } }), '503')
  t.equal(failed('500 x', { error: 'x' }), '500')
  t.equal(failed('200 x', {}), undefined)
  for (const none of [null, '', {}, false]) t.equal(failed('200 x', { error: none }), undefined)
  t.equal(failed('200 x', { error: { code: 502, message: 'x' } }), '502', 'OpenRouter')
  t.equal(failed('200 x', { error: { code: 400, type: 'BadRequestError' } }), 'BadRequestError')
  t.equal(failed('400 x', { object: 'error', type: 'invalid_model', code: '1500' }), 'invalid_model')
  t.equal(failed('200 x', { error: 'model is not loaded' }), '_OTHER', 'Ollama: no word to name it by')
  t.equal(failed('200 x', { error: 'too many requests', error_type: 'overloaded' }), 'overloaded')
  t.equal(failed('200 x', { base_resp: { status_code: 1004 } }), '1004', 'MiniMax')
  t.equal(failed('200 x', { base_resp: { status_code: 0 } }), undefined)
  const broke = sse({ id: 'g', choices: [] }, { error: { code: 504, message: 'x' } }, { error: 'again' })
  t.match(derived({ ...openai, head: SSE, body: broke }), { 'error.type': '504' })
  const overloaded = sse({ type: 'error', error: { type: 'overloaded_error' } })
  t.match(
    derived({ provider: 'anthropic', line: 'POST /v1/messages', head: SSE, body: overloaded }),
    { 'error.type': 'overloaded_error' },
    'within a stream, too',
  )
})

t.test('on Azure’s hosts the path tells whose interface it is', async (t) => {
  const azure = (line: string) => derived({ provider: 'azure', line, body: json({}) })['gen_ai.provider.name']
  t.equal(azure('POST /openai/deployments/d/chat/completions?api-version=1'), 'azure.ai.openai')
  t.equal(azure('POST /openai/v1/responses'), 'azure.ai.openai')
  t.equal(azure('POST /my-api/deployments/d/chat/completions'), 'azure.ai.openai')
  t.equal(azure('POST /models/chat/completions?api-version=1'), 'azure.ai.inference')
  t.equal(azure('POST /anthropic/v1/messages'), 'azure.ai.inference')
})

t.test('the cost names its price list, and there is none where that has no such model', async (t) => {
  const cost = (provider: string, model: string, usage: object) =>
    derive({
      provider,
      time: TIME,
      requestHead: requestHead('POST /v1/chat/completions'),
      requestBody: json({ model }),
      response: { head: responseHead('application/json'), body: json({ usage }) },
    }).cost
  const usage = { prompt_tokens: 1000, completion_tokens: 100, prompt_tokens_details: { cached_tokens: 500 } }
  const { source, ...numbers } = cost('openai', 'gpt-4o-mini', usage) ?? {}
  t.same(numbers, { currency: 'USD', input: 0.0001125, output: 0.00006, total: 0.0001725 })
  t.match(source, /^@pydantic\/genai-prices \d+\.\d+\.\d+$/)
  t.equal(cost('openai', 'no-such-model', usage), undefined)
  t.equal(cost('openai_compatible', 'gpt-4o-mini', usage), undefined, "another's model of that name")
  t.equal(cost('openai', 'gpt-4o-mini', {}), undefined, 'without usage')
  const odd = { prompt_tokens: 1, prompt_tokens_details: { cached_tokens: 9 } }
  t.equal(cost('openai', 'gpt-4o-mini', odd), undefined, 'a cache larger than the input')
})
