/**
 * From an exchange's bytes to what people ask about: model, usage, how it ended. A pure function of stored
 * data, so it can be done again later by a better parser. Content is the attacker's: whatever it is, the
 * answer is a Derived, with the reason in `unparsed` where there is little in it.
 */
import { messageOf } from '../../base/errors.ts'
import type { Derived } from '../record.ts'
import { parseBounded } from './bounded-json.ts'
import { decodeContent } from './content-coding.ts'
import { field, present, text } from './fields.ts'
import { type Head, mediaType, parseHead, requestLine, statusOf } from './http-head.ts'
import { type Operation, operationOf } from './operation.ts'
import { eachEvent } from './server-sent-events.ts'
import { telemetryNameOf } from './telemetry-name.ts'
import type { Found, WireStyle } from './wire-style.ts'

/** Bytes of a body, or why they can't be looked at. */
export type Content = Buffer | { readonly unparsed: string }

export interface Seen {
  /** Catalogue id. */
  readonly provider: string
  readonly telemetryName?: string | undefined
  /** The catalogue's wire style. */
  readonly style?: string | undefined
  readonly requestHead: Buffer
  readonly requestBody: Content
  readonly response?: { readonly head: Buffer; readonly body: Content } | undefined
}

/** Never throws. */
export function derive(seen: Seen): Derived {
  const name = seen.telemetryName ?? telemetryNameOf(seen.provider)
  try {
    const head = parseHead(seen.requestHead)
    const { method, target } = requestLine(head)
    const operation = operationOf(method, target, seen.style)
    const request = fromRequest(operation, head, seen.requestBody)
    const response = fromResponse(operation, seen.response, `${method ?? '?'} ${target ?? ''}`)
    return combined(name, request, response)
  } catch (error) {
    return combined(name, {}, { unparsed: `the parser failed: ${messageOf(error)}` })
  }
}

interface Part extends Found {
  unparsed?: string
}

function combined(name: string, request: Part, response: Part): Derived {
  const unparsed = response.unparsed ?? request.unparsed
  const found = { ...request, ...response }
  const reported =
    found['gen_ai.usage.input_tokens'] !== undefined || found['gen_ai.usage.output_tokens'] !== undefined
  return {
    ...found,
    'gen_ai.provider.name': name,
    usageSource: reported ? 'reported' : 'none',
    ...(unparsed !== undefined && { unparsed }),
  }
}

function fromRequest(operation: Operation, head: Head, content: Content): Part {
  const known = present<Found>({
    'gen_ai.operation.name': operation.name,
    'gen_ai.request.model': operation.model,
  })
  if (operation.style === undefined) return known
  const body = decoded(head, content)
  if ('unparsed' in body) return { ...known, unparsed: `request: ${body.unparsed}` }
  if (body.bytes.length === 0) return known
  const parsed = parseBounded(body.bytes)
  if ('unparsed' in parsed) return { ...known, unparsed: `request: ${parsed.unparsed}` }
  const stream = field(parsed.value, 'stream')
  return {
    ...known,
    ...present<Found>({
      'gen_ai.request.model': text(field(parsed.value, 'model')) ?? operation.model,
      'gen_ai.request.stream': typeof stream === 'boolean' ? stream : undefined,
    }),
  }
}

function fromResponse({ style }: Operation, response: Seen['response'], request: string): Part {
  if (style === undefined) return { unparsed: `no parser for ${request.split('?', 1)[0]!.slice(0, 128)}` }
  if (response === undefined) return { unparsed: 'no response' }
  const head = parseHead(response.head)
  if (statusOf(head) === 101) return { unparsed: 'an upgraded connection' }
  const body = decoded(head, response.body)
  if ('unparsed' in body) return { unparsed: `response: ${body.unparsed}` }
  if (body.bytes.length === 0) return {}
  return isEventStream(head, body.bytes) ? fromStream(style, body.bytes) : fromBody(style, body.bytes)
}

function fromBody(style: WireStyle, bytes: Buffer): Part {
  const parsed = parseBounded(bytes)
  return 'unparsed' in parsed ? { unparsed: `response: ${parsed.unparsed}` } : style.response(parsed.value)
}

function fromStream(style: WireStyle, bytes: Buffer): Part {
  const stream = style.stream()
  const whole = eachEvent(bytes, (data) => stream.event(data))
  return whole ? stream.found() : { ...stream.found(), unparsed: 'response: an event longer than 16 MiB' }
}

function decoded(head: Head, content: Content): { bytes: Buffer } | { unparsed: string } {
  return Buffer.isBuffer(content) ? decodeContent(head, content) : content
}

/** Some gateways send streams without their type. */
function isEventStream(head: Head, bytes: Buffer): boolean {
  const type = mediaType(head)
  return (
    type === 'text/event-stream' ||
    (type !== 'application/json' &&
      /^(?:data|event|id|retry|:)/.test(bytes.subarray(0, 8).toString('latin1')))
  )
}
