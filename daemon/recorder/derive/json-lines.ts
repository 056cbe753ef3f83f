/** Newline-delimited JSON, as Ollama streams it. A line that is no JSON is left out. */
import { JsonEvents } from './bounded-json.ts'
import type { EventReader } from './event-reader.ts'

const NEWLINE = 0x0a

export const jsonLines: EventReader = (bytes, take) => {
  const events = new JsonEvents()
  for (let at = 0; at < bytes.length && events.full === undefined; ) {
    const newline = bytes.indexOf(NEWLINE, at)
    const end = newline === -1 ? bytes.length : newline
    if (end > at) {
      const value = events.parse(bytes.subarray(at, end))
      if (value !== undefined) take(value, end)
    }
    at = end + 1
  }
  return events.full
}
