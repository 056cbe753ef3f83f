/**
 * Amazon Bedrock's InvokeModel: bodies are the model maker's own, streams carry them in base64. Bedrock counts tokens
 * itself, in header fields and in the last chunk, which serves the makers who don't say.
 */
import { anthropicMessages } from './anthropic-messages.ts'
import { bedrockConverse, converseStream } from './bedrock-converse.ts'
import { parseBounded } from './bounded-json.ts'
import { cohereV2 } from './cohere-v2.ts'
import { count, field, list, present, sum, text } from './fields.ts'
import { FinishReasons } from './finish-reasons.ts'
import type { Head } from './http-head.ts'
import { openaiChat } from './openai-chat.ts'
import type { Found, Stream, WireStyle } from './wire-style.ts'

/** Meta's, Amazon Titan's and older Mistral's: flat bodies, whose chunks look like the whole. */
const flat: WireStyle = {
  request: () => ({}),
  response: (body) => flatFound(body),
  stream() {
    let found: Found = {}
    return {
      event(data) {
        found = { ...found, ...flatFound(data) }
        return ['generation', 'outputText', 'outputs'].some((key) => field(data, key) !== undefined)
      },
      found: () => found,
    }
  },
}

function flatFound(body: unknown): Found {
  const reasons = new FinishReasons()
  const results = [body, ...list(field(body, 'results')), ...list(field(body, 'outputs'))]
  for (const [i, result] of results.entries()) {
    reasons.note(field(result, 'stop_reason') ?? field(result, 'completionReason'), i)
  }
  return {
    ...present<Found>({
      'gen_ai.usage.input_tokens':
        count(field(body, 'prompt_token_count')) ?? count(field(body, 'inputTextTokenCount')),
      'gen_ai.usage.output_tokens':
        count(field(body, 'generation_token_count')) ??
        sum(...list(field(body, 'results')).map((result) => count(field(result, 'tokenCount')))),
    }),
    ...reasons.found(),
  }
}

/** Nova speaks like Converse, its events without the event stream's types. */
const nova: WireStyle = {
  ...bedrockConverse,
  stream() {
    const { typed, found } = converseStream()
    return {
      event(data) {
        const [type, payload] = Object.entries(typeof data === 'object' && data !== null ? data : {})[0] ?? []
        return typed(type, payload)
      },
      found,
    }
  },
}

/** By what is sent where the name tells nothing: an application's own inference profile has a number. */
const byShape: WireStyle = {
  request: (body) =>
    (field(body, 'anthropic_version') === undefined ? flat : anthropicMessages).request(body),
  response: (body) => shapeOf(body).response(body),
  stream() {
    let inner: Stream | undefined
    return {
      event(data) {
        inner ??= shapeOf(data).stream()
        return inner.event(data)
      },
      found: () => inner?.found() ?? {},
    }
  },
}

function shapeOf(data: unknown): WireStyle {
  const type = field(data, 'type')
  if (type === 'message' || type === 'message_start') return anthropicMessages
  if (field(data, 'choices') !== undefined) return openaiChat
  return field(data, 'messageStart') !== undefined || field(data, 'output', 'message') !== undefined
    ? nova
    : flat
}

/** By the maker's name in the model's, its profile's or its ARN. */
const MAKERS: readonly (readonly [RegExp, WireStyle])[] = [
  [/\banthropic\./, anthropicMessages],
  [/\bamazon\.nova/, nova],
  [/\bcohere\./, cohereV2],
  [/\b(?:openai|qwen|deepseek|moonshot|minimax|zai|nvidia|google|writer|ai21)\./, openaiChat],
]

function fromMetrics(metrics: unknown): Found {
  const cacheRead = count(field(metrics, 'cacheReadInputTokenCount'))
  const cacheCreation = count(field(metrics, 'cacheWriteInputTokenCount'))
  return present<Found>({
    'gen_ai.usage.input_tokens': sum(count(field(metrics, 'inputTokenCount')), cacheRead, cacheCreation),
    'gen_ai.usage.output_tokens': count(field(metrics, 'outputTokenCount')),
    'gen_ai.usage.cache_read.input_tokens': cacheRead,
    'gen_ai.usage.cache_creation.input_tokens': cacheCreation,
  })
}

function fromHead(head: Head): Found {
  const number = (name: string) => {
    const value = head.fields.get(name)?.[0]
    return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined
  }
  return fromMetrics({
    inputTokenCount: number('x-amzn-bedrock-input-token-count'),
    outputTokenCount: number('x-amzn-bedrock-output-token-count'),
    cacheReadInputTokenCount: number('x-amzn-bedrock-cache-read-input-token-count'),
    cacheWriteInputTokenCount: number('x-amzn-bedrock-cache-write-input-token-count'),
  })
}

/** @param model as the path has it */
export function bedrockInvoke(model: string | undefined): WireStyle {
  const maker = MAKERS.find(([pattern]) => pattern.test((model ?? '').slice(0, 512)))?.[1] ?? byShape
  return {
    request: (body) => maker.request(body),
    response: (body) => maker.response(body),
    head: fromHead,
    stream() {
      const inner = maker.stream()
      let metrics: Found = {}
      return {
        event(data) {
          const encoded = text(field(data, 'payload', 'bytes'))
          if (encoded === undefined) return false
          const parsed = parseBounded(Buffer.from(encoded, 'base64'))
          if (!('value' in parsed)) return false
          metrics = { ...metrics, ...fromMetrics(field(parsed.value, 'amazon-bedrock-invocationMetrics')) }
          return inner.event(parsed.value)
        },
        found: () => ({ ...metrics, ...inner.found() }),
      }
    },
  }
}
