/**
 * api.openai.com as far as agents use it: chat completions, responses, embeddings and models, with the
 * bodies and headers that the real one sends (its published OpenAPI document and streaming guide).
 */
import { createHash } from 'node:crypto'
import {
  type Answer,
  countTokens,
  echo,
  forcedTool,
  jsonAnswer,
  lastText,
  parseObject,
  type SiteRequest,
  serverSentEvent,
  streamAnswer,
  tokensOf,
} from './answer.ts'
import { chatCompletion } from './chat-completions.ts'
import { echoTalk, realtimeTalk, responsesTalk } from './openai-sessions.ts'
import { idOf } from './serial.ts'
import { acceptWebSocket } from './web-socket.ts'

const CREATED = 1_760_000_000
const models = ['gpt-4o-mini', 'gpt-5', 'text-embedding-3-small']

export function openai(request: SiteRequest): Answer {
  const key = /^Bearer (\S+)$/.exec(request.head.fields.get('authorization') ?? '')?.[1]
  if (key === undefined) {
    return failure(request, 401, "You didn't provide an API key.", 'invalid_request_error', null)
  }
  if (key === 'invalid') {
    return failure(request, 401, 'Incorrect API key provided.', 'invalid_request_error', 'invalid_api_key')
  }
  const { status } = request.behaviour
  if (status === 429) return failure(request, 429, 'Rate limit reached.', 'requests', 'rate_limit_exceeded')
  if (status !== undefined) return failure(request, status, 'The server had an error.', 'server_error', null)

  const webSocket = session(request)
  if (webSocket !== undefined) return webSocket
  const model = /^\/v1\/models(?:\/([^/]+))?$/.exec(request.path)
  if (model !== null && request.head.method === 'GET') return listModels(request, model[1])
  if (request.head.method !== 'POST') return notFound(request)
  const asked = parseObject(request.content)
  if (asked === undefined) {
    return failure(
      request,
      400,
      'We could not parse the JSON body of your request.',
      'invalid_request_error',
      null,
    )
  }
  if (typeof asked.model !== 'string') {
    return failure(request, 400, 'you must provide a model parameter', 'invalid_request_error', null)
  }
  switch (request.path) {
    case '/v1/chat/completions':
      return chatCompletion(request, asked, asked.model, headers(request))
    case '/v1/responses':
      return response(request, asked, asked.model)
    case '/v1/embeddings':
      return embeddings(request, asked, asked.model)
    default:
      return notFound(request)
  }
}

function session(request: SiteRequest): Answer | undefined {
  if (request.path === '/v1/realtime') {
    const model = request.query.get('model')
    return acceptWebSocket(request, model === null ? echoTalk : realtimeTalk(model))
  }
  return request.path === '/v1/responses' ? acceptWebSocket(request, responsesTalk()) : undefined
}

function response(request: SiteRequest, asked: Record<string, unknown>, model: string): Answer {
  const text = echo(lastText(asked.input), request.behaviour)
  const input = countTokens(JSON.stringify(asked.input ?? ''))
  const written = countTokens(text)
  const part = (content: string) => ({ type: 'output_text', annotations: [], logprobs: [], text: content })
  const itemId = `msg_${idOf(request)}`
  const item = (status: string, content: unknown[]) => ({
    id: itemId,
    type: 'message',
    status,
    content,
    role: 'assistant',
  })
  const whole = (status: string, items: unknown[], usage: unknown) => ({
    id: `resp_${idOf(request)}`,
    object: 'response',
    created_at: CREATED,
    status,
    error: null,
    incomplete_details: null,
    instructions: asked.instructions ?? null,
    model,
    output: items,
    parallel_tool_calls: true,
    previous_response_id: asked.previous_response_id ?? null,
    temperature: 1,
    tool_choice: 'auto',
    tools: [],
    usage,
    metadata: {},
  })
  const usage = {
    input_tokens: input,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: written,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + written,
  }
  const tool = forcedTool(asked)
  const call = (status: string, written: string) => ({
    id: `fc_${idOf(request)}`,
    type: 'function_call',
    status,
    arguments: written,
    call_id: `call_${idOf(request)}`,
    name: tool,
  })
  const output = tool === undefined ? item('completed', [part(text)]) : call('completed', '{"said":"yes"}')
  const completed = whole('completed', [output], usage)
  if (asked.stream !== true) return jsonAnswer(200, completed, headers(request))
  let sequence = 0
  const event = (type: string, fields: object) =>
    serverSentEvent({ type, sequence_number: sequence++, ...fields }, type)
  const at = { item_id: itemId, output_index: 0, content_index: 0 }
  const textEvents = () => [
    event('response.output_item.added', { output_index: 0, item: item('in_progress', []) }),
    event('response.content_part.added', { ...at, part: part('') }),
    ...tokensOf(text).map((delta) => event('response.output_text.delta', { ...at, delta, logprobs: [] })),
    event('response.output_text.done', { ...at, text, logprobs: [] }),
    event('response.content_part.done', { ...at, part: part(text) }),
  ]
  const callEvents = () => [
    event('response.output_item.added', { output_index: 0, item: call('in_progress', '') }),
    event('response.function_call_arguments.delta', {
      ...{ item_id: call('', '').id, output_index: 0, delta: '{"said":"yes"}' },
    }),
    event('response.function_call_arguments.done', {
      ...{ item_id: call('', '').id, output_index: 0, name: tool, arguments: '{"said":"yes"}' },
    }),
  ]
  return streamAnswer(
    [
      event('response.created', { response: whole('in_progress', [], null) }),
      event('response.in_progress', { response: whole('in_progress', [], null) }),
      ...(tool === undefined ? textEvents() : callEvents()),
      event('response.output_item.done', { output_index: 0, item: output }),
      event('response.completed', { response: completed }),
    ],
    headers(request),
  )
}

function embeddings(request: SiteRequest, asked: Record<string, unknown>, model: string): Answer {
  const inputs: unknown[] = Array.isArray(asked.input) ? asked.input : [asked.input]
  const tokens = countTokens(JSON.stringify(inputs))
  const data = inputs.map((input, index) => {
    const digest = createHash('sha256').update(JSON.stringify(input)).digest()
    const vector = Float32Array.from(digest.subarray(0, 8), (byte) => byte / 255)
    const embedding =
      asked.encoding_format === 'base64' ? Buffer.from(vector.buffer).toString('base64') : [...vector]
    return { object: 'embedding', index, embedding }
  })
  const usage = { prompt_tokens: tokens, total_tokens: tokens }
  return jsonAnswer(200, { object: 'list', data, model, usage }, headers(request))
}

function listModels(request: SiteRequest, id: string | undefined): Answer {
  const entry = (model: string) => ({ id: model, object: 'model', created: CREATED, owned_by: 'system' })
  if (id === undefined) return jsonAnswer(200, { object: 'list', data: models.map(entry) }, headers(request))
  if (models.includes(id)) return jsonAnswer(200, entry(id), headers(request))
  return failure(request, 404, `The model '${id}' does not exist`, 'invalid_request_error', 'model_not_found')
}

function notFound(request: SiteRequest): Answer {
  const { method } = request.head
  return failure(request, 404, `Invalid URL (${method} ${request.path})`, 'invalid_request_error', null)
}

function failure(
  request: SiteRequest,
  status: number,
  message: string,
  type: string,
  code: string | null,
): Answer {
  const retry = status === 429 ? ([['retry-after', '1']] as const) : []
  return jsonAnswer(status, { error: { message, type, param: null, code } }, [...headers(request), ...retry])
}

function headers(request: SiteRequest): Answer['fields'] {
  return [
    ['access-control-expose-headers', 'X-Request-ID'],
    ['openai-organization', 'laboratory'],
    ['openai-processing-ms', '12'],
    ['openai-project', 'proj_laboratory'],
    ['openai-version', '2020-10-01'],
    ['x-ratelimit-limit-requests', '10000'],
    ['x-ratelimit-remaining-requests', '9999'],
    ['x-request-id', `req_${request.serial}`],
    ['strict-transport-security', 'max-age=31536000; includeSubDomains; preload'],
    ['Set-Cookie', `__cf_bm=${request.serial}; path=/; HttpOnly; Secure; SameSite=None`],
    ['Set-Cookie', '_cfuvid=laboratory; path=/; HttpOnly; Secure; SameSite=None'],
    ['X-Content-Type-Options', 'nosniff'],
    ['Server', 'cloudflare'],
  ]
}
