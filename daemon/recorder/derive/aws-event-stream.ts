/**
 * AWS event streams (application/vnd.amazon.eventstream): total length | headers' length | CRC | headers | payload |
 * CRC, lengths u32be. The codec checks both sums; a message that doesn't hold ends the reading.
 */
import { createRequire } from 'node:module'
import type { EventStreamCodec } from '@smithy/eventstream-codec'
import { JsonEvents } from './bounded-json.ts'
import type { EventReader } from './event-reader.ts'
import { text } from './fields.ts'

/** A message: its `:event-type` or `:exception-type`, and its payload. */
export interface AwsEvent {
  readonly type: string | undefined
  readonly exception: boolean
  readonly payload: unknown
}

const PRELUDE = 12
const SHORTEST = 16

let loaded: EventStreamCodec | undefined

/** With the first stream only: it takes 14 MB and 30 ms, which machines without Bedrock never need. */
function codec(): EventStreamCodec {
  if (loaded === undefined) {
    const module = createRequire(import.meta.url)(
      '@smithy/eventstream-codec',
    ) as typeof import('@smithy/eventstream-codec')
    loaded = new module.EventStreamCodec(
      (bytes) => Buffer.from(bytes).toString('utf8'),
      (string) => Buffer.from(string),
    )
  }
  return loaded
}

export const awsEvents: EventReader = (bytes, take) => {
  const events = new JsonEvents()
  for (let at = 0; at + PRELUDE <= bytes.length && events.full === undefined; ) {
    const length = bytes.readUInt32BE(at)
    if (length < SHORTEST) return 'a damaged event stream'
    if (at + length > bytes.length) return undefined
    const event = decode(bytes.subarray(at, at + length), events)
    if (event === undefined) return 'a damaged event stream'
    at += length
    take(event, at)
  }
  return events.full
}

function decode(message: Buffer, events: JsonEvents): AwsEvent | undefined {
  try {
    const { headers, body } = codec().decode(message)
    const header = (name: string) => (Object.hasOwn(headers, name) ? text(headers[name]?.value) : undefined)
    const exception = header(':exception-type') ?? header(':error-code')
    return {
      type: exception ?? header(':event-type'),
      exception: exception !== undefined,
      payload: events.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength)),
    }
  } catch {
    return undefined
  }
}
