/**
 * A record as the leaf's bytes: JCS, at most MAX_LEAF whatever is in it. Long strings and lists are cut, the
 * longest first, so that no path, model name or error message of an attacker keeps a record out of the log.
 */
import canonicalize from 'canonicalize'
import { type Agent, type LogRecord, MAX_LEAF } from '../record.ts'

/** Kept to the last of what is derived: the rest can be derived again from the bodies. */
const KEPT_DERIVED = new Set([
  'gen_ai.provider.name',
  'gen_ai.operation.name',
  'gen_ai.request.model',
  'gen_ai.response.model',
  'gen_ai.usage.input_tokens',
  'gen_ai.usage.output_tokens',
  'usageSource',
  'toolCalls',
])

/**
 * Bytes a string may have in JSON, and entries a list; tools and then processes go first, for their numbers are told. The
 * last step fits whatever the first couldn't.
 */
const STEPS: readonly Step[] = [
  { bytes: 2048, items: 128, tools: 4, processes: 8 },
  { bytes: 512, items: 32, tools: 4, processes: 8 },
  { bytes: 256, items: 16, tools: 2, processes: 4 },
  { bytes: 128, items: 8, tools: 1, processes: 2 },
  // Not below 66: digests and ids stay whole.
  { bytes: 72, items: 2, tools: 1, processes: 1 },
  { bytes: 72, items: 1, tools: 0, processes: 0, derived: KEPT_DERIVED },
]

interface Step {
  readonly bytes: number
  readonly items: number
  readonly tools: number
  readonly processes: number
  /** Keys of what is derived; all where nothing is said. */
  readonly derived?: ReadonlySet<string>
}
const ELLIPSIS = '…'

export function encodeRecord(record: LogRecord): Buffer {
  const whole = tryWhole(record)
  if (whole !== undefined) return whole
  for (const step of STEPS) {
    const text = canonicalize(cut(record, step))
    if (text !== undefined && Buffer.byteLength(text) <= MAX_LEAF) return Buffer.from(text)
  }
  throw new Error('a record of more keys than its schema has')
}

/** Nearly every record fits as it is. A lone surrogate or a number that is none makes canonicalize throw. */
function tryWhole(record: LogRecord): Buffer | undefined {
  try {
    const bytes = Buffer.from(canonicalize(record) ?? '')
    return bytes.length > 0 && bytes.length <= MAX_LEAF ? bytes : undefined
  } catch {
    return undefined
  }
}

function cut(value: unknown, step: Step): unknown {
  if (typeof value === 'string') return cutString(value, step.bytes)
  if (typeof value === 'number') return Number.isFinite(value) ? value : 0
  if (Array.isArray(value)) return value.slice(0, step.items).map((entry) => cut(entry, step))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined)
  return Object.fromEntries(entries.map(([key, entry]) => [key, cutField(key, entry, step)]))
}

function cutField(key: string, value: unknown, step: Step): unknown {
  if (key === 'detail') return cutDetail(value as object, step)
  if (key === 'tools' || key === 'toolsOffered') return cut(value, { ...step, items: step.tools })
  if (key === 'derived' && step.derived !== undefined) {
    return cut(
      Object.fromEntries(Object.entries(value as object).filter(([name]) => step.derived!.has(name))),
      step,
    )
  }
  if (key === 'agent') return cut(fewerProcesses(value as Agent, step.processes), step)
  return cut(value, step)
}

function fewerProcesses({ more = 0, ...agent }: Agent, most: number): Agent {
  const processes = agent.processes?.slice(0, most)
  const beyond = more + (agent.processes?.length ?? 0) - (processes?.length ?? 0)
  return { ...agent, processes, more: beyond > 0 ? beyond : undefined }
}

/** The one object whose keys aren't the schema's. */
function cutDetail(value: object, step: Step): unknown {
  const entries = Object.entries(value).slice(0, step.items)
  return Object.fromEntries(
    entries.map(([key, entry]) => [cutString(key, Math.min(step.bytes, 128)), cut(entry, step)]),
  )
}

function cutString(value: string, bytes: number): string {
  const whole = value.length > bytes ? value.slice(0, bytes) : value
  const text = whole.toWellFormed()
  if (text.length === value.length && jsonBytes(text) <= bytes) return text
  let end = Math.min(text.length, bytes)
  while (end > 0 && jsonBytes(text.slice(0, end)) + ELLIPSIS.length + 2 > bytes) end = Math.floor(end * 0.9)
  return text.slice(0, end).toWellFormed() + ELLIPSIS
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text))
}
