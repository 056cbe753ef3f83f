/**
 * Amazon Bedrock's runtime (its API reference): Converse and InvokeModel, each as JSON and as an AWS event stream with
 * the checksums that SDKs verify. Signatures are not looked at. InvokeModel speaks Anthropic's format.
 */
import { EventStreamCodec } from '@smithy/eventstream-codec'
import {
  type Answer,
  countTokens,
  echo,
  isObject,
  jsonAnswer,
  lastText,
  parseObject,
  type SiteRequest,
  tokensOf,
} from './answer.ts'
import { idOf } from './serial.ts'

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes).toString(),
  (text) => Buffer.from(text),
)

export function bedrock(request: SiteRequest): Answer {
  const [, model, operation] =
    /^\/model\/([^/]+)\/(converse|converse-stream|invoke|invoke-with-response-stream)$/.exec(request.path) ??
    []
  const asked = parseObject(request.content)
  if (request.head.method !== 'POST' || model === undefined || asked === undefined) {
    return jsonAnswer(404, { message: 'Not found' }, [['x-amzn-errortype', 'UnknownOperationException']])
  }
  const text = echo(lastText(asked.messages), request.behaviour)
  const counts = { input: countTokens(request.content.toString()), output: countTokens(text) }
  switch (operation) {
    case 'converse':
      return converse(request, asked, text, counts)
    case 'converse-stream':
      return converseStream(request, asked, text, counts)
    case 'invoke':
      return invoke(request, text, counts)
    default:
      return invokeStream(request, text, counts)
  }
}

interface Counts {
  readonly input: number
  readonly output: number
}

const usageOf = ({ input, output }: Counts) => ({
  inputTokens: input,
  outputTokens: output,
  totalTokens: input + output,
})

function converse(
  request: SiteRequest,
  asked: Record<string, unknown>,
  text: string,
  counts: Counts,
): Answer {
  const tool = toolUse(request, asked)
  const content = tool === undefined ? [{ text }] : [{ toolUse: { ...tool, input: { said: 'yes' } } }]
  return jsonAnswer(
    200,
    {
      output: { message: { role: 'assistant', content } },
      stopReason: tool === undefined ? 'end_turn' : 'tool_use',
      usage: usageOf(counts),
      metrics: { latencyMs: 12 },
    },
    [['x-amzn-RequestId', request.serial]],
  )
}

function converseStream(
  request: SiteRequest,
  asked: Record<string, unknown>,
  text: string,
  counts: Counts,
): Answer {
  const tool = toolUse(request, asked)
  const delta = (piece: object) => event('contentBlockDelta', { contentBlockIndex: 0, delta: piece })
  return eventStream(request, [
    event('messageStart', { role: 'assistant' }),
    ...(tool === undefined
      ? tokensOf(text).map((piece) => delta({ text: piece }))
      : [
          event('contentBlockStart', { contentBlockIndex: 0, start: { toolUse: tool } }),
          delta({ toolUse: { input: '{"said":"yes"}' } }),
        ]),
    event('contentBlockStop', { contentBlockIndex: 0 }),
    event('messageStop', { stopReason: tool === undefined ? 'end_turn' : 'tool_use' }),
    event('metadata', { usage: usageOf(counts), metrics: { latencyMs: 12 } }),
  ])
}

/** The first tool of the request, where it says that one must be used. */
function toolUse(request: SiteRequest, asked: Record<string, unknown>) {
  const config = isObject(asked.toolConfig) ? asked.toolConfig : {}
  const tool: unknown = Array.isArray(config.tools) ? config.tools[0] : undefined
  const wanted = isObject(config.toolChoice) && 'any' in config.toolChoice
  if (!wanted || !isObject(tool) || !isObject(tool.toolSpec)) return undefined
  return { toolUseId: `tooluse_${idOf(request)}`, name: tool.toolSpec.name }
}

function invoke(request: SiteRequest, text: string, counts: Counts): Answer {
  return jsonAnswer(
    200,
    { ...message(request, counts), content: [{ type: 'text', text }], stop_reason: 'end_turn' },
    [
      ['x-amzn-RequestId', request.serial],
      ['X-Amzn-Bedrock-Input-Token-Count', String(counts.input)],
      ['X-Amzn-Bedrock-Output-Token-Count', String(counts.output)],
    ],
  )
}

function invokeStream(request: SiteRequest, text: string, counts: Counts): Answer {
  const chunk = (inner: object) =>
    event('chunk', { bytes: Buffer.from(JSON.stringify(inner)).toString('base64'), p: 'abcdefghij' })
  return eventStream(request, [
    chunk({ type: 'message_start', message: message(request, { ...counts, output: 1 }) }),
    chunk({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
    ...tokensOf(text).map((piece) =>
      chunk({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: piece } }),
    ),
    chunk({ type: 'content_block_stop', index: 0 }),
    chunk({
      ...{ type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null } },
      usage: { output_tokens: counts.output },
    }),
    chunk({
      type: 'message_stop',
      'amazon-bedrock-invocationMetrics': {
        ...{ inputTokenCount: counts.input, outputTokenCount: counts.output },
        ...{ invocationLatency: 20, firstByteLatency: 9 },
      },
    }),
  ])
}

function message(request: SiteRequest, { input, output }: Counts) {
  return {
    ...{ model: 'claude-sonnet-4-5-20250929', id: `msg_bdrk_01${idOf(request)}`, type: 'message' },
    ...{ role: 'assistant', content: [], stop_reason: null, stop_sequence: null },
    usage: { input_tokens: input, output_tokens: output },
  }
}

function eventStream(request: SiteRequest, body: readonly Buffer[]): Answer {
  return {
    status: 200,
    fields: [
      ['Content-Type', 'application/vnd.amazon.eventstream'],
      ['x-amzn-RequestId', request.serial],
    ],
    body,
  }
}

function event(type: string, payload: object): Buffer {
  const string = (value: string) => ({ type: 'string' as const, value })
  return Buffer.from(
    codec.encode({
      headers: {
        ':event-type': string(type),
        ':content-type': string('application/json'),
        ':message-type': string('event'),
      },
      body: Buffer.from(JSON.stringify(payload)),
    }),
  )
}
