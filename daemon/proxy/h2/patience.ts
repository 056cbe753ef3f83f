/** How long an HTTP/2 connection may go on as it is. */
import type { OnStream, Streams } from './streams.ts'

/** Without a stream; providers close idle connections after one to ten minutes. */
export const IDLE_MS = 300_000
/** For a whole header block (slow-loris). */
const HEAD_MS = 30_000
/** Without a byte of a request's body, or with an agent that reads nothing of its answers. */
export const STALL_MS = 300_000
/** After our last byte, for the agent to take it. */
export const LINGER_MS = 2000

/**
 * @param deadline the old one, which a header block's further bytes don't move
 * @returns the new one
 */
export function deadlineOf(
  deadline: number,
  now: number,
  inHeaderBlock: boolean,
  streams: Pick<Streams<OnStream>, 'size' | 'waitForProvider'>,
): number {
  if (inHeaderBlock) return Math.min(deadline, now + HEAD_MS)
  if (streams.size === 0) return now + IDLE_MS
  return streams.waitForProvider ? Number.POSITIVE_INFINITY : now + STALL_MS
}
