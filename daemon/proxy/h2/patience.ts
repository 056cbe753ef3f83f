/** How long an HTTP/2 connection may go on as it is. */
import type { Receiver } from './receiver.ts'
import type { OnStream, Streams } from './streams.ts'

/** Without a stream; providers close idle connections after one to ten minutes. */
export const IDLE_MS = 300_000
/** For a whole header block, and for a frame where no stream is open: that can be nothing long (slow-loris). */
const HEAD_MS = 30_000
/** Without a byte of a request's body, or with an agent that takes nothing of its answers. */
export const STALL_MS = 300_000
/** After our last byte, for the agent to take it. */
export const LINGER_MS = 2000

export interface Moment {
  readonly now: number
  /** When the agent last sent, or took, something of a request or an answer: its PINGs are nothing of that. */
  readonly progress: number
  readonly receiver: Pick<Receiver, 'inBlock' | 'inFrame'>
  readonly streams: Pick<Streams<OnStream>, 'size' | 'waitForProvider'>
}

/**
 * @param deadline the old one, which further bytes of a header block don't move
 * @returns the new one
 */
export function deadlineOf(deadline: number, { now, progress, receiver, streams }: Moment): number {
  const idle = streams.size === 0
  if (receiver.inBlock || (idle && receiver.inFrame)) return Math.min(deadline, now + HEAD_MS)
  if (idle) return now + IDLE_MS
  return streams.waitForProvider ? Number.POSITIVE_INFINITY : progress + STALL_MS
}
