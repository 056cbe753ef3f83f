/** The elements of a JSON array one by one, so that an array that was broken off gives what had come. */
import { JsonEvents, stringEnd } from './bounded-json.ts'
import type { EventReader } from './event-reader.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const OPENS = new Set([0x5b, 0x7b])
const CLOSES = new Set([0x5d, 0x7d])

export const jsonArray: EventReader = (bytes, take) => {
  const events = new JsonEvents()
  let depth = 0
  let start = 0
  let read = 0
  const element = (end: number) => {
    const value = events.parse(bytes.subarray(start, end))
    if (value === undefined) return
    read++
    take(value, end)
  }
  for (let at = 0; at < bytes.length && events.full === undefined; at++) {
    const byte = bytes[at]!
    if (byte === QUOTE) {
      at = stringEnd(bytes, at + 1)
    } else if (OPENS.has(byte)) {
      depth++
      if (depth === 1) start = at + 1
    } else if (CLOSES.has(byte)) {
      depth--
      // The array's own end, or an element's: nobody needs to wait for the comma behind it.
      if (depth <= 1 && start < at) {
        element(depth <= 0 ? at : at + 1)
        start = at + 1
      }
      if (depth <= 0) break
    } else if (byte === COMMA && depth === 1) {
      if (start < at) element(at)
      start = at + 1
    }
  }
  return read === 0 && bytes.length > 2 ? 'not JSON' : events.full
}
