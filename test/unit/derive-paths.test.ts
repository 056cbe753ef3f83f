/** What the path tells of a call, and what it leaves to the bodies. */
import t from 'tap'
import { AWS_STREAM, awsMessage, derived, json, responseHead, sse } from './derive-fixture.ts'

const SSE = responseHead('text/event-stream')

t.test('bedrock invoke: an inference profile of one’s own says nothing of the maker', async (t) => {
  const line = 'POST /model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Aapplication-inference-profile%2Fabc/invoke'
  const base = {
    provider: 'bedrock',
    line,
    request: { anthropic_version: 'bedrock-2023-05-31', max_tokens: 9 },
  }
  const content = [{ type: 'tool_use', id: 't1', name: 'f' }]
  const body = json({
    type: 'message',
    model: 'claude',
    content,
    usage: { input_tokens: 1, output_tokens: 2 },
  })
  t.match(derived({ ...base, body }), {
    'gen_ai.request.max_tokens': 9,
    'gen_ai.usage.output_tokens': 2,
    tools: [{ name: 'f', id: 't1' }],
  })
  const chunk = (event: object) => awsMessage('chunk', { bytes: json(event).toString('base64') })
  const stream = Buffer.concat([
    chunk({ type: 'message_start', message: { usage: { input_tokens: 3 } } }),
    chunk({
      type: 'message_delta',
      delta: { stop_reason: 'end_turn' },
      usage: { input_tokens: 0, output_tokens: 4 },
    }),
  ])
  t.match(derived({ ...base, line: `${line}-with-response-stream`, head: AWS_STREAM, body: stream }), {
    'gen_ai.usage.input_tokens': 3,
    'gen_ai.usage.output_tokens': 4,
    'gen_ai.response.finish_reasons': ['end_turn'],
  })
  const nova = json({
    output: { message: { content: [] } },
    stopReason: 'end_turn',
    usage: { inputTokens: 5, outputTokens: 6 },
  })
  t.match(derived({ ...base, body: nova }), { 'gen_ai.usage.input_tokens': 5 })
})

t.test('openai’s pictures, transcriptions and moderations', async (t) => {
  const openai = { provider: 'openai', style: 'openai-chat' }
  const usage = {
    input_tokens: 50,
    output_tokens: 1056,
    input_tokens_details: { text_tokens: 10, image_tokens: 40 },
  }
  t.match(
    derived({
      ...openai,
      line: 'POST /v1/images/generations',
      request: { model: 'gpt-image-1', n: 2 },
      body: json({ created: 1, data: [], usage }),
    }),
    {
      'gen_ai.request.model': 'gpt-image-1',
      'gen_ai.request.choice.count': 2,
      'gen_ai.usage.output_tokens': 1056,
      usageDetails: { inputImage: 40 },
    },
  )
  const done = {
    type: 'transcript.text.done',
    usage: { input_tokens: 14, output_tokens: 45, input_token_details: { audio_tokens: 14 } },
  }
  const form = Buffer.from('--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n--b--\r\n')
  const spoken = {
    ...openai,
    line: 'POST /v1/audio/transcriptions',
    request: form,
    head: SSE,
    body: sse(done),
  }
  t.match(derived(spoken), {
    'gen_ai.usage.input_tokens': 14,
    usageDetails: { inputAudio: 14 },
    unparsed: 'request: not JSON',
  })
  t.match(derived({ ...openai, line: 'POST /v1/moderations', body: json({ id: 'modr-1', model: 'omni' }) }), {
    'gen_ai.response.model': 'omni',
    usageSource: 'none',
  })
  const listed = derived({ ...openai, line: 'GET /v1/chat/completions', body: json({ data: [] }) })
  t.notOk('gen_ai.operation.name' in listed, 'a list of what was answered is no chat')
})

t.test('gemini’s interactions', async (t) => {
  const base = { provider: 'gemini', style: 'gemini', line: 'POST /v1beta/interactions' }
  const request = {
    ...{ model: 'gemini-3-pro-preview', previous_interaction_id: 'i-0', stream: true, input: 'x' },
    generation_config: { max_output_tokens: 9, temperature: 0.5 },
    tools: [{ type: 'function', name: 'f' }, { type: 'google_search' }],
  }
  const usage = {
    ...{ total_input_tokens: 100, total_cached_tokens: 60, total_tool_use_tokens: 5 },
    ...{ total_output_tokens: 20, total_thought_tokens: 30, total_tokens: 155 },
    input_tokens_by_modality: [{ modality: 'audio', tokens: 40 }],
  }
  const steps = [
    { type: 'thought' },
    { type: 'google_search_call', id: 's1' },
    { type: 'function_call', id: 'c1', name: 'f', arguments: {} },
  ]
  const over = { id: 'i-1', model: 'gemini-3-pro-preview', status: 'requires_action', usage }
  const expected = {
    'gen_ai.provider.name': 'gcp.gemini',
    'gen_ai.operation.name': 'generate_content',
    'gen_ai.request.model': 'gemini-3-pro-preview',
    'gen_ai.request.stream': true,
    'gen_ai.request.max_tokens': 9,
    'gen_ai.request.temperature': 0.5,
    'gen_ai.response.id': 'i-1',
    'gen_ai.response.model': 'gemini-3-pro-preview',
    'gen_ai.response.finish_reasons': ['requires_action'],
    'gen_ai.usage.input_tokens': 105,
    'gen_ai.usage.output_tokens': 50,
    'gen_ai.usage.cache_read.input_tokens': 60,
    'gen_ai.usage.reasoning.output_tokens': 30,
    usageDetails: { inputAudio: 40, inputImage: 0, inputVideo: 0 },
    usageSource: 'reported',
    previousResponse: 'i-0',
    tools: [
      { name: 'google_search', id: 's1' },
      { name: 'f', id: 'c1' },
    ],
    toolCalls: 2,
    toolsOffered: { count: 2, names: ['f', 'google_search'] },
  }
  t.same(derived({ ...base, request, body: json({ ...over, steps }) }), expected)
  const body = sse(
    { event_type: 'interaction.created', interaction: { id: 'i-1', status: 'in_progress' } },
    ...steps.map((step, index) => ({ event_type: 'step.start', index, step })),
    { event_type: 'step.delta', index: 2, delta: { type: 'arguments', partial_arguments: '{}' } },
    { event_type: 'interaction.completed', interaction: over },
  )
  t.same(derived({ ...base, request, head: SSE, body }), expected)
  const failed = sse({ event_type: 'error', error: { code: 'overloaded', message: 'x' } })
  t.match(derived({ ...base, request, head: SSE, body: failed }), { 'error.type': 'overloaded' })
})

t.test('cohere’s chat, version 1', async (t) => {
  const base = { provider: 'cohere', style: 'cohere-v2', line: 'POST /v1/chat' }
  const request = {
    ...{ model: 'command-r-plus', message: 'x', conversation_id: 'k-1', p: 0.5, stream: true },
    tools: [{ name: 'f', description: 'x' }],
  }
  const whole = {
    ...{ response_id: 'r-1', text: 'x', finish_reason: 'COMPLETE' },
    tool_calls: [{ name: 'f', parameters: {} }],
    meta: {
      billed_units: { input_tokens: 3, output_tokens: 4 },
      tokens: { input_tokens: 70, output_tokens: 5 },
    },
  }
  const expected = {
    'gen_ai.conversation.id': 'k-1',
    'gen_ai.response.id': 'r-1',
    'gen_ai.response.finish_reasons': ['COMPLETE'],
    'gen_ai.request.top_p': 0.5,
    'gen_ai.usage.input_tokens': 70,
    'gen_ai.usage.output_tokens': 5,
    usageDetails: { billedInput: 3, billedOutput: 4 },
    tools: [{ name: 'f' }],
  }
  t.match(derived({ ...base, request, body: json(whole) }), expected)
  const lines = [
    { event_type: 'stream-start', is_finished: false },
    { event_type: 'text-generation', text: 'x' },
    {
      event_type: 'stream-end',
      is_finished: true,
      finish_reason: 'COMPLETE',
      response: { ...whole, finish_reason: undefined },
    },
  ]
  const body = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  t.match(derived({ ...base, request, head: responseHead('application/stream+json'), body }), expected)
})
