/**
 * Cursor's and Windsurf's own protobuf in Connect frames. Its schema isn't published, so nothing is read from the
 * messages: that a stream came, and how it ended.
 */
import { field } from './fields.ts'
import type { WireStyle } from './wire-style.ts'

export const connectProto: WireStyle = {
  request: () => ({}),
  response: () => ({}),
  stream: () => ({ event: (frame) => field(frame, 'last') === false, found: () => ({}) }),
}
