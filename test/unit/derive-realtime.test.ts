import t from 'tap'
import { messageStyleOf } from '../../daemon/recorder/derive/message-style.ts'
import { deriveMessages } from '../../daemon/recorder/derive/realtime.ts'

const origin = { provider: 'openai', time: Date.UTC(2026, 0, 1) }
const texts = (...messages: unknown[]) => messages.map((message) => JSON.stringify(message))

t.test('a turn of a Realtime session: model, conversation, usage, tools', async (t) => {
  const client = texts(
    {
      type: 'session.update',
      session: {
        type: 'realtime',
        model: 'gpt-realtime',
        max_output_tokens: 400,
        tools: [{ type: 'function', name: 'weather', parameters: {} }],
      },
    },
    { type: 'response.create' },
  )
  const server = texts(
    { type: 'session.created', session: { id: 'sess_1', model: 'gpt-realtime-2026-01-01' } },
    { type: 'response.output_audio.delta', delta: 'AAAA' },
    {
      type: 'response.done',
      response: {
        id: 'resp_7',
        status: 'completed',
        conversation_id: 'conv_9',
        output: [
          { type: 'function_call', id: 'item_1', call_id: 'call_1', name: 'weather', arguments: '{}' },
        ],
        usage: { input_tokens: 90, output_tokens: 12, input_token_details: { cached_tokens: 64 } },
      },
    },
  )
  const { cost: _, ...derived } = deriveMessages('openai-realtime', { client, server }, origin)
  t.same(derived, {
    'gen_ai.provider.name': 'openai',
    'gen_ai.operation.name': 'chat',
    'gen_ai.conversation.id': 'conv_9',
    'gen_ai.request.model': 'gpt-realtime',
    'gen_ai.request.stream': true,
    'gen_ai.request.max_tokens': 400,
    'gen_ai.response.id': 'resp_7',
    'gen_ai.response.model': 'gpt-realtime-2026-01-01',
    'gen_ai.response.finish_reasons': ['completed'],
    'gen_ai.usage.input_tokens': 90,
    'gen_ai.usage.output_tokens': 12,
    'gen_ai.usage.cache_read.input_tokens': 64,
    usageSource: 'reported',
    tools: [{ name: 'weather', id: 'call_1' }],
    toolCalls: 1,
    toolsOffered: { count: 1, names: ['weather'] },
  })
})

t.test('a turn that failed says why', async (t) => {
  const error = { type: 'invalid_request_error', code: 'session_expired' }
  t.match(
    deriveMessages('openai-realtime', { client: [], server: texts({ type: 'error', error }) }, origin),
    {
      'error.type': 'session_expired',
    },
  )
  const response = { status: 'failed', status_details: { type: 'failed', error: { code: 'server_error' } } }
  t.match(
    deriveMessages(
      'openai-realtime',
      { client: [], server: texts({ type: 'response.done', response }) },
      origin,
    ),
    { 'error.type': 'server_error', 'gen_ai.response.finish_reasons': ['failed'], usageSource: 'none' },
  )
})

t.test('Responses over a WebSocket are read as over HTTP', async (t) => {
  const client = texts({
    type: 'response.create',
    model: 'gpt-5',
    tools: [{ type: 'web_search' }],
    input: [],
  })
  const item = { type: 'function_call', id: 'fc_1', call_id: 'call_2', name: 'shell' }
  const server = texts(
    {
      type: 'response.created',
      response: { id: 'resp_1', model: 'gpt-5-2025-08-07', status: 'in_progress' },
    },
    { type: 'response.output_item.added', item },
    { type: 'response.output_item.done', item },
    {
      type: 'response.completed',
      response: {
        id: 'resp_1',
        model: 'gpt-5-2025-08-07',
        status: 'completed',
        output: [item],
        usage: { input_tokens: 1000, output_tokens: 100 },
      },
    },
  )
  t.match(deriveMessages('openai-responses', { client, server }, origin), {
    'gen_ai.request.model': 'gpt-5',
    'gen_ai.response.model': 'gpt-5-2025-08-07',
    'gen_ai.usage.input_tokens': 1000,
    tools: [{ name: 'shell', id: 'call_2' }],
    toolCalls: 1,
    toolsOffered: { count: 1, names: ['web_search'] },
    cost: { currency: 'USD', input: 0.00125, output: 0.001, total: 0.00225 },
  })
})

t.test('a turn of a Gemini Live session', async (t) => {
  const client = texts(
    {
      setup: {
        model: 'models/gemini-live-2.5-flash-preview',
        generationConfig: { temperature: 0.5, responseModalities: ['AUDIO'] },
        tools: [{ functionDeclarations: [{ name: 'lights' }] }, { googleSearch: {} }],
      },
    },
    { clientContent: { turns: [], turnComplete: true } },
  )
  const server = texts(
    { setupComplete: {} },
    { toolCall: { functionCalls: [{ id: 'f-1', name: 'lights', args: {} }] } },
    { serverContent: { modelTurn: { parts: [{ text: 'done' }] } } },
    {
      serverContent: { turnComplete: true },
      usageMetadata: {
        promptTokenCount: 50,
        responseTokenCount: 7,
        thoughtsTokenCount: 3,
        totalTokenCount: 60,
      },
    },
  )
  t.match(deriveMessages('gemini-live', { client, server }, { ...origin, provider: 'gemini' }), {
    'gen_ai.provider.name': 'gcp.gemini',
    'gen_ai.request.model': 'gemini-live-2.5-flash-preview',
    'gen_ai.request.temperature': 0.5,
    'gen_ai.response.finish_reasons': ['turnComplete'],
    'gen_ai.usage.input_tokens': 50,
    'gen_ai.usage.output_tokens': 10,
    'gen_ai.usage.reasoning.output_tokens': 3,
    tools: [{ name: 'lights', id: 'f-1' }],
    toolsOffered: { count: 2, names: ['lights', 'googleSearch'] },
  })
})

t.test('the path tells the style and the origin the model, where messages say nothing', async (t) => {
  t.equal(messageStyleOf('/v1/realtime?model=gpt-realtime'), 'openai-realtime')
  t.equal(messageStyleOf('/v1/responses'), 'openai-responses')
  t.equal(messageStyleOf('/backend-api/codex/responses'), 'openai-responses')
  const live = '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=fp_1'
  t.equal(messageStyleOf(live), 'gemini-live')
  t.equal(messageStyleOf('/v1/else'), undefined)
  const none = { client: [], server: [] }
  t.match(deriveMessages('openai-realtime', none, { ...origin, model: 'gpt-realtime' }), {
    'gen_ai.request.model': 'gpt-realtime',
  })
  t.match(deriveMessages(undefined, none, origin).unparsed, /no parser/)
  t.match(deriveMessages('constructor', none, origin).unparsed, /no parser/)
  t.match(deriveMessages('gemini-live', { client: ['x'], server: ['<'] }, origin).unparsed, /no JSON/)
})
