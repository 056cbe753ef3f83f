/** An exchange while its frames come in. Holds offsets, and bytes only until the next commit. */
import { RecorderError, schemaMessage } from '../errors.ts'
import { EndPayload, OpenPayload, RefusalPayload, RequestEndPayload } from '../payloads.ts'
import { type FailedPayload, type Frame, FrameType } from '../protocol.ts'
import type { Ranges } from './journal.ts'
import type { JournalFrame } from './journal-entry.ts'

export interface OpenExchange {
  readonly id: string
  readonly number: number
  readonly ranges: Ranges
  /** Bytes that have come for the journal. */
  size: number
  /** Waiting for the next commit. */
  frames: JournalFrame[]
  /** RequestEnd came, and neither Durable nor Failed has been said. */
  awaiting: boolean
  /** `end`: its End came. `lost`: its connection went first. */
  over: 'end' | 'lost' | undefined
  /** Why the rest could not be written. */
  failure: FailedPayload | undefined
}

export function newExchange(id: string, number: number): OpenExchange {
  return {
    id,
    number,
    ranges: [],
    size: 0,
    frames: [],
    awaiting: false,
    over: undefined,
    failure: undefined,
  }
}

const SCHEMAS = {
  [FrameType.Open]: OpenPayload,
  [FrameType.RequestEnd]: RequestEndPayload,
  [FrameType.End]: EndPayload,
  [FrameType.Refusal]: RefusalPayload,
} as const

/**
 * Checks a frame's JSON and returns what intake wants of it: an id, and whether an answer is held.
 * @throws RecorderError MALFORMED
 */
export function checkPayload(frame: Frame): { readonly id?: string; readonly hold?: true } {
  if (frame.type >= FrameType.Durable) {
    throw malformed(`frame type ${frame.type} from a proxy`)
  }
  if (!Number.isFinite(frame.time)) throw malformed('a time that is no number')
  const schema = SCHEMAS[frame.type as keyof typeof SCHEMAS]
  if (schema === undefined) return {}
  let value: unknown
  try {
    value = JSON.parse(frame.payload.toString('utf8'))
  } catch (cause) {
    throw malformed(`a payload that is no JSON in frame type ${frame.type}`, cause)
  }
  const checked = schema.safeParse(value)
  if (!checked.success) {
    throw malformed(`frame type ${frame.type}: ${schemaMessage(checked.error)}`)
  }
  if ('id' in checked.data) return { id: checked.data.id }
  return 'hold' in checked.data && checked.data.hold ? { hold: true } : {}
}

export function malformed(what: string, cause?: unknown): RecorderError {
  return new RecorderError(
    'MALFORMED',
    what,
    'Restart the worker that sent it; if it comes again, report it with the log of the recorder.',
    cause,
  )
}
