/**
 * From an exchange's bytes to what people ask about: model, usage, how it ended. A pure function of stored
 * data, so it can be done again later by a better parser. Content is the attacker's: whatever it is, the
 * answer is a Derived, with the reason in `unparsed` where there is little in it.
 */
import { messageOf } from '../../base/errors.ts'
import type { Derived } from '../derived.ts'
import type { Arrivals } from './arrivals.ts'
import { parseBounded } from './bounded-json.ts'
import { combined, type Origin, type Part } from './combined.ts'
import { connectProto } from './connect-proto.ts'
import { type Decoded, decodeContent, isEncoded } from './content-coding.ts'
import { betterErrorType, errorTypeOf, errorTypeOfStatus } from './error-type.ts'
import { present } from './fields.ts'
import { eventReader } from './framing.ts'
import { type Head, parseHead, requestLine, statusOf } from './http-head.ts'
import { type Operation, operationOf } from './operation.ts'
import { readStream } from './read-stream.ts'
import { sessionOf } from './session.ts'
import { telemetryNameAt } from './telemetry-name.ts'
import type { Found, WireStyle } from './wire-style.ts'

/** Bytes of a body, or why they can't be looked at. */
export type Content = Buffer | { readonly unparsed: string }

export interface Seen extends Origin {
  /** The catalogue's wire style. */
  readonly style?: string | undefined
  /** Of a WebSocket's turn: the model that its client named for the session. */
  readonly model?: string | undefined
  readonly requestHead: Buffer
  readonly requestBody: Content
  readonly response?:
    | { readonly head: Buffer; readonly body: Content; readonly arrivals?: Arrivals | undefined }
    | undefined
}

/** Never throws. */
export function derive(seen: Seen): Derived {
  try {
    const head = parseHead(seen.requestHead)
    const { method, target } = requestLine(head)
    const operation = operationOf(method, target, seen.style)
    const request = fromRequest(operation, head, seen.requestBody)
    const response = fromResponse(operation, seen.response, `${method ?? '?'} ${target ?? ''}`)
    return combined({ ...seen, telemetryName: telemetryNameAt(seen, target) }, request, response)
  } catch (error) {
    return combined(seen, {}, { unparsed: `the parser failed: ${messageOf(error)}` })
  }
}

function fromRequest(operation: Operation, head: Head, content: Content): Part {
  const { style } = operation
  const fromPath = present<Found>({
    'gen_ai.operation.name': operation.name,
    'gen_ai.request.model': operation.model,
    'gen_ai.request.stream': operation.stream,
  })
  const known = { ...present<Found>({ 'gen_ai.conversation.id': sessionOf(head) }), ...fromPath }
  if (style === undefined) return known
  if (style === connectProto) return { ...known, unparsed: "the vendor's own protobuf" }
  const body = decoded(head, content)
  if ('unparsed' in body) return { ...known, unparsed: `request: ${body.unparsed}` }
  if (body.bytes.length === 0) return known
  const parsed = parseBounded(body.bytes)
  if ('unparsed' in parsed) return { ...known, unparsed: `request: ${parsed.unparsed}` }
  // The path decides at the provider, whatever the body says beside it.
  return { ...known, ...style.request(parsed.value), ...fromPath }
}

function fromResponse({ style }: Operation, response: Seen['response'], request: string): Part {
  if (style === undefined) return { unparsed: `no parser for ${request.split('?', 1)[0]!.slice(0, 128)}` }
  if (response === undefined) return { unparsed: 'no response' }
  const head = parseHead(response.head)
  const status = statusOf(head)
  if (status === 101) return { unparsed: 'an upgraded connection' }
  const failed = errorTypeOfStatus(status, head)
  const known: Part = { ...style.head?.(head), ...present<Part>({ 'error.type': failed }) }
  const withError = (part: Part): Part => ({
    ...known,
    ...part,
    ...present<Part>({ 'error.type': betterErrorType(part['error.type'], failed) }),
  })
  const content = response.body
  const body = decoded(head, content)
  if ('unparsed' in body) return { ...known, unparsed: `response: ${body.unparsed}` }
  if (body.bytes.length === 0) return known
  const reader = eventReader(head, body.bytes)
  if (reader === undefined) return withError(fromBody(style, body.bytes))
  const { part, times } = readStream(style, reader, {
    bytes: body.bytes,
    arrivals: response.arrivals,
    prefix: Buffer.isBuffer(content) && isEncoded(head) ? (size) => prefixOf(head, content, size) : undefined,
  })
  return { ...withError(part), ...times }
}

function fromBody(style: WireStyle, bytes: Buffer): Part {
  const parsed = parseBounded(bytes)
  if ('unparsed' in parsed) {
    // Protobuf, whose reason stands at the request.
    return style === connectProto ? {} : { unparsed: `response: ${parsed.unparsed}` }
  }
  return { ...present<Found>({ 'error.type': errorTypeOf(parsed.value) }), ...style.response(parsed.value) }
}

function decoded(head: Head, content: Content): Decoded {
  return Buffer.isBuffer(content) ? decodeContent(head, content) : content
}

function prefixOf(head: Head, content: Buffer, size: number): Buffer {
  const prefix = decodeContent(head, content.subarray(0, size))
  return 'bytes' in prefix ? prefix.bytes : Buffer.alloc(0)
}
