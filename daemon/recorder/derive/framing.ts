/** How a body is cut into events: told by its head, and where that says nothing by its first bytes. */
import { awsEvents } from './aws-event-stream.ts'
import { parseBounded } from './bounded-json.ts'
import { connectFrames } from './connect-frames.ts'
import type { EventReader } from './event-reader.ts'
import { type Head, mediaType } from './http-head.ts'
import { jsonArray } from './json-array.ts'
import { jsonLines } from './json-lines.ts'
import { serverSentEvents } from './server-sent-events.ts'

export type Framing = 'sse' | 'aws' | 'lines' | 'array' | 'connect'

const READERS: Readonly<Record<Framing, EventReader>> = {
  sse: serverSentEvents,
  aws: awsEvents,
  lines: jsonLines,
  array: jsonArray,
  connect: connectFrames,
}

/** @returns undefined where the body is one document. */
export function framingOf(head: Head, bytes: Buffer): Framing | undefined {
  const type = mediaType(head)
  const start = bytes.subarray(0, 8).toString('latin1')
  // An error is sent as a document under the stream's type, too; no line of a stream that says anything begins so.
  if (type === 'text/event-stream') return /^\s*\{/.test(start) ? undefined : 'sse'
  if (type === 'application/vnd.amazon.eventstream') return 'aws'
  if (type === 'application/x-ndjson' || type === 'application/jsonl') return 'lines'
  if (type.startsWith('application/connect+')) return 'connect'
  // Gemini streams an array where `alt=sse` isn't asked for.
  if (/^\s*\[/.test(start)) return 'array'
  // Some gateways send streams without their type, or as JSON, which begins with none of these.
  if (/^(?:data|event|id|retry|:)/.test(start)) return 'sse'
  return areLines(bytes) ? 'lines' : undefined
}

/** A first line that is longer is a document's. */
const MAX_FIRST_LINE = 1 << 20

/** Whether the first line is a whole object and another follows. */
function areLines(bytes: Buffer): boolean {
  if (bytes[0] !== 0x7b) return false
  const newline = bytes.subarray(0, MAX_FIRST_LINE).indexOf(0x0a)
  return newline > 0 && bytes[newline + 1] === 0x7b && 'value' in parseBounded(bytes.subarray(0, newline))
}

/** @returns undefined where the body is one JSON document. */
export function eventReader(head: Head, bytes: Buffer): EventReader | undefined {
  const framing = framingOf(head, bytes)
  return framing && READERS[framing]
}
