/** Well-formed exchanges and sessions of every wire style, which the fuzzer then spoils. */
import { awsMessage, connectFrame, json, sse } from '../unit/derive-fixture.ts'

export interface Sample {
  readonly style: string
  readonly line: string
  readonly request: Buffer
  readonly type: string
  readonly body: Buffer
}

const call = { id: 'call_1', type: 'function', function: { name: 'look_up', arguments: '{"q":1}' } }
const chat = {
  id: 'chatcmpl-1',
  model: 'gpt-4o',
  choices: [
    { index: 0, finish_reason: 'tool_calls', message: { content: 'x', tool_calls: [call] }, delta: {} },
  ],
  usage: {
    ...{ prompt_tokens: 3, completion_tokens: 4, total_tokens: 9 },
    prompt_tokens_details: { cached_tokens: 2, audio_tokens: 1 },
    completion_tokens_details: { reasoning_tokens: 2 },
  },
}
const response = {
  id: 'resp_1',
  status: 'completed',
  model: 'gpt-5',
  conversation: { id: 'conv_1' },
  output: [{ type: 'function_call', name: 'look_up', call_id: 'call_1' }],
  usage: { input_tokens: 5, output_tokens: 6, input_tokens_details: { cached_tokens: 1 } },
}
const message = {
  id: 'msg_1',
  model: 'claude-sonnet-5',
  stop_reason: 'tool_use',
  content: [{ type: 'tool_use', id: 'toolu_1', name: 'Bash' }],
  usage: {
    input_tokens: 1,
    cache_read_input_tokens: 2,
    cache_creation_input_tokens: 3,
    output_tokens: 4,
    cache_creation: { ephemeral_1h_input_tokens: 2 },
  },
}
const anthropicEvents = [
  { type: 'message_start', message },
  { type: 'content_block_start', index: 0, content_block: message.content[0] },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'x' } },
  { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 9 } },
  { type: 'error', error: { type: 'overloaded_error' } },
]
const generated = {
  candidates: [
    { index: 0, finishReason: 'STOP', content: { parts: [{ text: 'x' }, { functionCall: { name: 'f' } }] } },
  ],
  usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 2, thoughtsTokenCount: 3 },
  modelVersion: 'gemini-2.5-flash',
  responseId: 'r',
}
const interaction = {
  ...{ id: 'i-1', model: 'gemini-3-pro', status: 'completed' },
  steps: [{ type: 'function_call', id: 'c', name: 'f' }],
  usage: {
    ...{ total_input_tokens: 3, total_output_tokens: 4, total_thought_tokens: 1 },
    input_tokens_by_modality: [{ modality: 'audio', tokens: 2 }],
  },
}
const interactionEvents = [
  { event_type: 'step.start', step: interaction.steps[0] },
  { event_type: 'interaction.completed', interaction },
]
const picture = {
  usage: { input_tokens: 5, output_tokens: 6, input_tokens_details: { image_tokens: 2 } },
}
const cohereLine = {
  event_type: 'stream-end',
  response: { response_id: 'r', tool_calls: [{ name: 'f' }], meta: { tokens: { input_tokens: 1 } } },
}
const converse = {
  output: { message: { content: [{ toolUse: { toolUseId: 't', name: 'f' } }] } },
  stopReason: 'tool_use',
  usage: { inputTokens: 1, outputTokens: 2, cacheReadInputTokens: 3, cacheWriteInputTokens: 4 },
}
const converseEvents = [
  awsMessage('messageStart', { role: 'assistant' }),
  awsMessage('contentBlockStart', { start: { toolUse: { toolUseId: 't', name: 'f' } } }),
  awsMessage('contentBlockDelta', { delta: { text: 'x' } }),
  awsMessage('messageStop', { stopReason: 'end_turn' }),
  awsMessage('metadata', { usage: converse.usage }),
  awsMessage('throttlingException', { message: 'x' }, 'exception'),
]
const chunk = (event: unknown) => awsMessage('chunk', { bytes: json(event).toString('base64') })
const cohereEvents = [
  { type: 'message-start', id: 'c' },
  { type: 'tool-call-start', delta: { message: { tool_calls: call } } },
  { type: 'content-delta', delta: { message: { content: { text: 'x' } } } },
  { type: 'message-end', delta: { finish_reason: 'COMPLETE', usage: { tokens: { input_tokens: 1 } } } },
]
const ollamaLines = [
  { model: 'llama3.2', message: { content: 'x', tool_calls: [call] }, done: false },
  { model: 'llama3.2', done: true, done_reason: 'stop', prompt_eval_count: 1, eval_count: 2 },
]

const tools = [{ type: 'function', name: 'look_up', function: { name: 'look_up' } }]
const asked = json({
  ...{ model: 'gpt-4o', stream: true, max_tokens: 9, temperature: 0.5, top_p: 1, top_k: 4, seed: 1, n: 2 },
  ...{ conversation: 'conv_1', tools, toolConfig: { tools: [{ toolSpec: { name: 'f' } }] } },
  ...{ generationConfig: { maxOutputTokens: 5 }, inferenceConfig: { maxTokens: 5 }, options: { seed: 2 } },
})
const lines = (...values: unknown[]) =>
  Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''))
const document = 'application/json'
const events = 'text/event-stream'
const eventStream = 'application/vnd.amazon.eventstream'
const sample = (
  style: string,
  line: string,
  type: string,
  body: Buffer,
  request: Buffer = asked,
): Sample => ({
  ...{ style, line: `POST ${line}`, type, body, request },
})
const model = '/v1beta/models/gemini-2.5-flash'
const claude = '/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0'

export const SAMPLES: readonly Sample[] = [
  sample('openai-chat', '/v1/chat/completions', document, json(chat)),
  sample('openai-chat', '/v1/chat/completions', events, sse(chat, { ...chat, choices: [] }, '[DONE]')),
  sample('openai-responses', '/v1/responses', document, json(response)),
  sample(
    'openai-responses',
    '/v1/responses',
    events,
    sse(
      { type: 'response.output_item.added', item: response.output[0] },
      { type: 'response.output_text.delta', delta: 'x' },
      { type: 'response.completed', response },
    ),
  ),
  sample('anthropic-messages', '/v1/messages', document, json(message)),
  sample('anthropic-messages', '/v1/messages', events, sse(...anthropicEvents)),
  sample('gemini', `${model}:generateContent`, document, json(generated)),
  sample('gemini', `${model}:streamGenerateContent?alt=sse`, events, sse(generated, generated)),
  sample('gemini', `${model}:streamGenerateContent`, document, json([generated, generated])),
  sample('gemini', '/v1internal:generateContent', document, json({ response: generated })),
  sample('gemini', '/v1beta/interactions', document, json(interaction)),
  sample('gemini', '/v1beta/interactions', events, sse(...interactionEvents)),
  sample('openai-chat', '/v1/images/generations', document, json(picture)),
  sample('openai-chat', '/v1/images/edits', events, sse({ type: 'x.partial_image' }, picture)),
  sample('bedrock-converse', '/model/arn%3Aaws/invoke', document, json(message)),
  sample('cohere-v2', '/v1/chat', 'application/stream+json', lines(cohereLine, cohereLine)),
  sample('bedrock-converse', '/model/m/converse', document, json(converse)),
  sample('bedrock-converse', '/model/m/converse-stream', eventStream, Buffer.concat(converseEvents)),
  sample('bedrock-converse', `${claude}/invoke`, document, json(message)),
  sample(
    'bedrock-converse',
    `${claude}/invoke-with-response-stream`,
    eventStream,
    Buffer.concat(
      [...anthropicEvents, { 'amazon-bedrock-invocationMetrics': { inputTokenCount: 1 } }].map(chunk),
    ),
  ),
  sample('bedrock-converse', '/model/amazon.nova-pro-v1/invoke', document, json(converse)),
  sample(
    'bedrock-converse',
    '/model/meta.llama3/invoke',
    document,
    json({ generation: 'x', prompt_token_count: 1, stop_reason: 'stop', results: [{ tokenCount: 2 }] }),
  ),
  sample('cohere-v2', '/v2/chat', document, json({ id: 'c', message: { tool_calls: [call] }, usage: {} })),
  sample('cohere-v2', '/v2/chat', events, sse(...cohereEvents)),
  sample('ollama', '/api/chat', 'application/x-ndjson', lines(...ollamaLines)),
  sample(
    'ollama',
    '/api/generate',
    'application/x-ndjson',
    Buffer.from(ollamaLines.map((line) => `${JSON.stringify(line)}\n`).join('')),
  ),
  sample(
    'connect-proto',
    '/aiserver.v1.ChatService/StreamChat',
    'application/connect+proto',
    Buffer.concat([
      connectFrame(0, Buffer.from([8, 1])),
      connectFrame(2, json({ error: { code: 'internal' } })),
    ]),
    connectFrame(0, Buffer.from([8, 1])),
  ),
]

/** What clients and servers say in WebSocket sessions, one message each. */
export const SESSIONS: readonly { style: string; client: Buffer; server: Buffer }[] = [
  {
    style: 'openai-realtime',
    client: json({ type: 'session.update', session: { model: 'gpt-realtime', tools } }),
    server: json({
      type: 'response.done',
      response: { ...response, conversation_id: 'conv_1', status_details: { error: { code: 'x' } } },
    }),
  },
  {
    style: 'openai-responses',
    client: json({ type: 'response.create', model: 'gpt-5', tools }),
    server: json({ type: 'response.completed', response }),
  },
  {
    style: 'gemini-live',
    client: json({ setup: { model: 'models/gemini-live', tools: [{ functionDeclarations: tools }] } }),
    server: json({
      serverContent: { turnComplete: true, modelTurn: { parts: [{}] } },
      toolCall: { functionCalls: [{ name: 'f', id: '1' }] },
      usageMetadata: generated.usageMetadata,
    }),
  },
]
