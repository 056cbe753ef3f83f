/** Events of an SSE body (WHATWG HTML, 9.2) as JSON, in order. What is no JSON (`[DONE]`) is left out. */
import { createParser } from 'eventsource-parser'
import { JsonEvents } from './bounded-json.ts'
import type { EventReader } from './event-reader.ts'

const STEP = 1 << 20

export const serverSentEvents: EventReader = (bytes, take, cuts) => {
  const events = new JsonEvents()
  let end = 0
  // Without onError: it would be made an error for each line that is no field, and a body may have millions.
  const parser = createParser({
    maxBufferSize: 16 << 20,
    onEvent({ data }) {
      const value = events.full === undefined ? events.parse(Buffer.from(data)) : undefined
      if (value !== undefined) take(value, end)
    },
  })
  const decoder = new TextDecoder()
  let next = 0
  try {
    for (let at = 0; at < bytes.length && events.full === undefined; at = end) {
      while (next < cuts.length && cuts[next]! <= at) next++
      end = Math.min(bytes.length, at + STEP, cuts[next] ?? bytes.length)
      parser.feed(decoder.decode(bytes.subarray(at, end), { stream: true }))
    }
    // A stream that was cut off within its last event gives that event too, where it is whole JSON.
    parser.feed('\n\n')
  } catch {
    // The parser's word for a full buffer, said when it is fed again.
    return 'an event longer than 16 MiB'
  }
  return events.full
}
