/**
 * api.anthropic.com as far as agents use it: messages, token counts and models, with the bodies and
 * headers that the real one sends (its API reference and its page on streaming messages).
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

const models = ['claude-sonnet-5', 'claude-haiku-4-5']

export function anthropic(request: SiteRequest): Answer {
  const { fields, method } = request.head
  const key = fields.get('x-api-key') ?? /^Bearer (\S+)$/.exec(fields.get('authorization') ?? '')?.[1]
  if (key === undefined) return failure(request, 401, 'authentication_error', 'x-api-key header is required')
  if (key === 'invalid') return failure(request, 401, 'authentication_error', 'invalid x-api-key')
  if (!fields.has('anthropic-version')) {
    return failure(request, 400, 'invalid_request_error', 'anthropic-version: header is required')
  }
  const { status } = request.behaviour
  if (status === 429) return failure(request, 429, 'rate_limit_error', 'You have exceeded your rate limit.')
  if (status !== undefined) return failure(request, status, 'api_error', 'Internal server error')

  if (request.path === '/v1/models' && method === 'GET') return listModels(request)
  const asked = method === 'POST' ? parseObject(request.content) : undefined
  if (request.path !== '/v1/messages' && request.path !== '/v1/messages/count_tokens') {
    return failure(request, 404, 'not_found_error', `Not found: ${request.path}`)
  }
  if (asked === undefined) {
    return failure(request, 400, 'invalid_request_error', 'The request body is not valid JSON')
  }
  if (typeof asked.model !== 'string') {
    return failure(request, 400, 'invalid_request_error', 'model: Field required')
  }
  const input = countTokens(JSON.stringify([asked.system, asked.messages]))
  if (request.path === '/v1/messages/count_tokens') {
    return jsonAnswer(200, { input_tokens: input }, headers(request))
  }
  if (typeof asked.max_tokens !== 'number') {
    return failure(request, 400, 'invalid_request_error', 'max_tokens: Field required')
  }
  return message(request, asked, asked.model, input)
}

function message(request: SiteRequest, asked: Record<string, unknown>, model: string, input: number): Answer {
  const text = echo(lastText(asked.messages), request.behaviour)
  const usage = (output: number) => ({
    input_tokens: input,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
    output_tokens: output,
    service_tier: 'standard',
  })
  const whole = (content: unknown[], stop: string | null, output: number) => ({
    model,
    id: `msg_01${idOf(request)}`,
    type: 'message',
    role: 'assistant',
    content,
    stop_reason: stop,
    stop_sequence: null,
    usage: usage(output),
  })
  const output = countTokens(text)
  const tool = forcedTool(asked)
  const block =
    tool === undefined
      ? { type: 'text', text: '' }
      : { type: 'tool_use', id: `toolu_01${idOf(request)}`, name: tool, input: {} }
  const stop = tool === undefined ? 'end_turn' : 'tool_use'
  if (asked.stream !== true) {
    const content = tool === undefined ? { ...block, text } : { ...block, input: { said: 'yes' } }
    return jsonAnswer(200, whole([content], stop, output), headers(request))
  }
  const event = (type: string, fields: object = {}) => serverSentEvent({ type, ...fields }, type)
  return streamAnswer(
    [
      event('message_start', { message: whole([], null, 1) }),
      event('content_block_start', { index: 0, content_block: block }),
      event('ping'),
      ...(tool === undefined
        ? tokensOf(text).map((piece) => ({ type: 'text_delta', text: piece }))
        : [{ type: 'input_json_delta', partial_json: '{"said":"yes"}' }]
      ).map((delta) => event('content_block_delta', { index: 0, delta })),
      event('content_block_stop', { index: 0 }),
      event('message_delta', {
        delta: { stop_reason: stop, stop_sequence: null },
        usage: {
          input_tokens: input,
          cache_creation_input_tokens: 0,
          cache_read_input_tokens: 0,
          output_tokens: output,
        },
      }),
      event('message_stop'),
    ],
    headers(request),
  )
}

function listModels(request: SiteRequest): Answer {
  const data = models.map((id) => ({
    type: 'model',
    id,
    display_name: id,
    created_at: '2025-09-29T00:00:00Z',
  }))
  const page = { data, has_more: false, first_id: models[0], last_id: models.at(-1) }
  return jsonAnswer(200, page, headers(request))
}

function failure(request: SiteRequest, status: number, type: string, explanation: string): Answer {
  const error = { type, message: explanation }
  const retry = status === 429 ? ([['retry-after', '1']] as const) : []
  return jsonAnswer(status, { type: 'error', error, request_id: requestId(request) }, [
    ...headers(request),
    ...retry,
  ])
}

/** The same request gets the same id, so that two ways of asking can be compared byte for byte. */
function idOf(request: SiteRequest): string {
  return createHash('sha256').update(request.content).digest('base64url').replace(/[-_]/g, 'x').slice(0, 22)
}

function requestId(request: SiteRequest): string {
  return `req_011C${request.serial.slice(0, 20)}`
}

function headers(request: SiteRequest): Answer['fields'] {
  return [
    ['anthropic-ratelimit-requests-limit', '4000'],
    ['anthropic-ratelimit-requests-remaining', '3999'],
    ['request-id', requestId(request)],
    ['strict-transport-security', 'max-age=31536000; includeSubDomains; preload'],
    ['anthropic-organization-id', '00000000-0000-4000-8000-000000000000'],
    ['Server', 'cloudflare'],
    ['X-Robots-Tag', 'none'],
  ]
}
