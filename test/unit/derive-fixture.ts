/** Exchanges as the recorder sees them, made up. */
import { EventStreamCodec } from '@smithy/eventstream-codec'
import type { Arrivals } from '../../daemon/recorder/derive/arrivals.ts'
import { type Content, derive } from '../../daemon/recorder/derive/derive.ts'
import type { Derived } from '../../daemon/recorder/derived.ts'

/** A day whose prices the bundled list knows. */
export const TIME = Date.UTC(2026, 0, 1)

export const json = (value: unknown) => Buffer.from(JSON.stringify(value))
export const sse = (...events: unknown[]) =>
  Buffer.from(events.map((e) => `data: ${typeof e === 'string' ? e : JSON.stringify(e)}\n\n`).join(''))
export const requestHead = (line: string, ...fields: string[]) =>
  Buffer.from([`${line} HTTP/1.1`, ...fields, '', ''].join('\r\n'))
export const responseHead = (type: string, ...fields: string[]) =>
  Buffer.from(['HTTP/1.1 200 OK', `Content-Type: ${type}`, ...fields, '', ''].join('\r\n'))

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes).toString(),
  (text) => Buffer.from(text),
)

/** A message of an AWS event stream, as Bedrock sends it. */
export function awsMessage(type: string, payload: unknown, kind: 'event' | 'exception' = 'event'): Buffer {
  const string = (value: string) => ({ type: 'string' as const, value })
  return Buffer.from(
    codec.encode({
      headers: {
        [`:${kind}-type`]: string(type),
        ':content-type': string('application/json'),
        ':message-type': string(kind),
      },
      body: json(payload),
    }),
  )
}

export const AWS_STREAM = responseHead('application/vnd.amazon.eventstream')

/** A frame of the Connect protocol. */
export function connectFrame(flags: number, message: Buffer): Buffer {
  const header = Buffer.alloc(5)
  header.writeUInt8(flags)
  header.writeUInt32BE(message.length, 1)
  return Buffer.concat([header, message])
}

interface Exchange {
  readonly provider: string
  readonly style?: string
  readonly line: string
  readonly request?: object | Buffer
  readonly head?: Buffer
  readonly body: Buffer
  readonly arrivals?: Arrivals
}

/** What is derived of it, without the cost, whose numbers are the price list's. */
export function derived(exchange: Exchange): Omit<Derived, 'cost'> {
  const { provider, style, line, request = {}, head = responseHead('application/json') } = exchange
  const { cost: _, ...rest } = derive({
    provider,
    style,
    time: TIME,
    requestHead: requestHead(line),
    requestBody: Buffer.isBuffer(request) ? request : json(request),
    response: { head, body: exchange.body, arrivals: exchange.arrivals },
  })
  return rest
}

/** A call of OpenAI's chat, of which only what is given is another. */
export function chat(options: {
  request?: object
  head?: Buffer
  body?: Content
  line?: string
  provider?: string
  style?: string
}) {
  const { request = { model: 'gpt-4o' }, head = responseHead('application/json'), body } = options
  return derive({
    time: TIME,
    provider: options.provider ?? 'openai',
    style: options.style,
    requestHead: requestHead(options.line ?? 'POST /v1/chat/completions', 'content-type: application/json'),
    requestBody: json(request),
    response: body === undefined ? undefined : { head, body },
  })
}

/** Events of OpenAI's chat: a piece of its answer, its end, its usage. */
export const chunk = (over: object) => ({
  id: 'chatcmpl-9',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'gpt-4o-2024-08-06',
  choices: [{ index: 0, delta: { content: 'Hi' }, finish_reason: null }],
  ...over,
})
export const STOP = chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
export const USAGE = chunk({
  choices: [],
  usage: {
    prompt_tokens: 120,
    completion_tokens: 40,
    total_tokens: 160,
    prompt_tokens_details: { cached_tokens: 100 },
    completion_tokens_details: { reasoning_tokens: 16 },
  },
})
