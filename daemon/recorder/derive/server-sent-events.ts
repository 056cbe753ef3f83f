/** Events of an SSE body (WHATWG HTML, 9.2) as JSON, in order. What is no JSON (`[DONE]`) is left out. */
import { createParser } from 'eventsource-parser'
import { parseBounded } from './bounded-json.ts'

/** @returns false where an event was longer than can be looked at; those before it were handed over. */
export function eachEvent(bytes: Buffer, take: (data: unknown) => void): boolean {
  let whole = true
  const parser = createParser({
    maxBufferSize: 16 << 20,
    onEvent({ data }) {
      const parsed = parseBounded(Buffer.from(data))
      if ('value' in parsed) take(parsed.value)
    },
    onError(error) {
      if (error.type === 'max-buffer-size-exceeded') whole = false
    },
  })
  const decoder = new TextDecoder()
  const STEP = 1 << 20
  for (let at = 0; at < bytes.length && whole; at += STEP) {
    parser.feed(decoder.decode(bytes.subarray(at, at + STEP), { stream: true }))
  }
  // A stream that was cut off within its last event gives that event too, where it is whole JSON.
  if (whole) parser.feed('\n\n')
  return whole
}
