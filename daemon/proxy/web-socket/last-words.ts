/** What an agent is told before its WebSocket is cut: an event of the interface, where it has one for that; and the close. */
import type { ProxyError } from '../proxy-error.ts'
import { ShapedError, shapedEvent } from '../shaped-error.ts'
import { serverFrame } from './frames.ts'

/** RFC 6455 §7.4.1; 1011 for all others. */
const CODES: Partial<Record<string, number>> = {
  blocked_by_policy: 1008,
  malformed_web_socket: 1002,
  message_too_big: 1009,
  recorder_unavailable: 1013,
  answer_not_anchored: 1013,
  anchoring_behind: 1013,
}

/** @param betweenMessages of the server's: an event may follow */
export function lastWords(error: ProxyError, betweenMessages: boolean): Buffer {
  const status = CODES[error.code] ?? 1011
  const close = Buffer.concat([Buffer.from([status >> 8, status & 0xff]), Buffer.from(error.code)])
  const event = betweenMessages && error instanceof ShapedError ? shapedEvent(error) : undefined
  const frames = event === undefined ? [] : [serverFrame('text', Buffer.from(event))]
  return Buffer.concat([...frames, serverFrame('close', close)])
}
