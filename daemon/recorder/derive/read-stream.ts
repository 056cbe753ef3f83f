/** A streamed response: what its events say, and when the first output came. */
import type { Derived } from '../derived.ts'
import type { Arrivals } from './arrivals.ts'
import type { Part } from './combined.ts'
import { betterErrorType, errorTypeOf } from './error-type.ts'
import type { EventReader } from './event-reader.ts'
import type { WireStyle } from './wire-style.ts'

export interface StreamBody {
  /** Content coding removed. */
  readonly bytes: Buffer
  readonly arrivals: Arrivals | undefined
  /** Where the body has a content coding: so many of its bytes decoded, as far as they go. */
  readonly prefix: ((size: number) => Buffer) | undefined
}

type Times = Pick<Derived, 'gen_ai.response.time_to_first_chunk' | 'streaming'>

/** What is decoded and read again to find the first output of an encoded stream: some 100 ms of work at most. */
const MAX_SEARCHED = 4 << 20

export function readStream(
  style: WireStyle,
  reader: EventReader,
  { bytes, arrivals, prefix }: StreamBody,
): { part: Part; times: Times } {
  const cuts = prefix === undefined ? (arrivals?.ends ?? []) : []
  const { part, output } = events(style, reader, bytes, cuts)
  if (arrivals === undefined) return { part, times: {} }
  const first = arrivals.firstChunk()
  const piece = () => {
    if (output === undefined) return undefined
    if (prefix === undefined) return firstWhere(arrivals.ends, (end) => end >= output)
    if (bytes.length > MAX_SEARCHED) return undefined
    return firstWhere(arrivals.ends, (end) => events(style, reader, prefix(end), []).output !== undefined)
  }
  return {
    part,
    times: {
      ...(first !== undefined && { 'gen_ai.response.time_to_first_chunk': first }),
      streaming: arrivals.streaming(piece()),
    },
  }
}

/** @returns with `output`, where the first event with output ends */
function events(
  style: WireStyle,
  reader: EventReader,
  bytes: Buffer,
  cuts: readonly number[],
): { part: Part; output: number | undefined } {
  const stream = style.stream()
  let output: number | undefined
  let failure: string | undefined
  let read = 0
  const broken = reader(
    bytes,
    (event, end) => {
      read++
      if (stream.event(event)) output ??= end
      failure = betterErrorType(errorTypeOf(event), failure)
    },
    cuts,
  )
  const unread = broken ?? (read === 0 ? 'no events' : undefined)
  return {
    part: {
      ...stream.found(),
      ...(failure !== undefined && { 'error.type': failure }),
      ...(unread !== undefined && { unparsed: `response: ${unread}` }),
    },
    output,
  }
}

/**
 * Index of the first for which it holds, as it then does for all that follow. Output mostly stands near the beginning:
 * looks twice as far each time, then between the last two.
 */
function firstWhere(ends: readonly number[], holds: (end: number) => boolean): number | undefined {
  if (ends.length === 0) return undefined
  let low = -1
  let high = 0
  while (!holds(ends[high]!)) {
    if (high === ends.length - 1) return undefined
    low = high
    high = Math.min(ends.length - 1, 2 * high + 1)
  }
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (holds(ends[middle]!)) high = middle
    else low = middle
  }
  return high
}
