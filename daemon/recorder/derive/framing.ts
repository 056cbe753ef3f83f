/** How a body is cut into events: told by its head, and where that says nothing by its first bytes. */
import { awsEvents } from './aws-event-stream.ts'
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
  if (type === 'text/event-stream') return 'sse'
  if (type === 'application/vnd.amazon.eventstream') return 'aws'
  if (type === 'application/x-ndjson' || type === 'application/jsonl') return 'lines'
  if (type.startsWith('application/connect+')) return 'connect'
  const start = bytes.subarray(0, 8).toString('latin1')
  // Gemini streams an array where `alt=sse` isn't asked for.
  if (/^\s*\[/.test(start)) return 'array'
  // Some gateways send streams without their type.
  if (type !== 'application/json' && /^(?:data|event|id|retry|:)/.test(start)) return 'sse'
  return undefined
}

/** @returns undefined where the body is one JSON document. */
export function eventReader(head: Head, bytes: Buffer): EventReader | undefined {
  const framing = framingOf(head, bytes)
  return framing && READERS[framing]
}
