/** How a response's body is cut into events: told by its head, and where that says nothing by its first bytes. */
import { awsEvents } from './aws-event-stream.ts'
import { connectFrames } from './connect-frames.ts'
import type { EventReader } from './event-reader.ts'
import { type Head, mediaType } from './http-head.ts'
import { jsonArray } from './json-array.ts'
import { jsonLines } from './json-lines.ts'
import { serverSentEvents } from './server-sent-events.ts'

/** @returns undefined where the body is one JSON document. */
export function eventReader(head: Head, bytes: Buffer): EventReader | undefined {
  const type = mediaType(head)
  if (type === 'text/event-stream') return serverSentEvents
  if (type === 'application/vnd.amazon.eventstream') return awsEvents
  if (type === 'application/x-ndjson' || type === 'application/jsonl') return jsonLines
  if (type.startsWith('application/connect+')) return connectFrames
  const start = bytes.subarray(0, 8).toString('latin1')
  // Gemini streams an array where `alt=sse` isn't asked for.
  if (/^\s*\[/.test(start)) return jsonArray
  // Some gateways send streams without their type.
  if (type !== 'application/json' && /^(?:data|event|id|retry|:)/.test(start)) return serverSentEvents
  return undefined
}
