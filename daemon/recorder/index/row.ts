/** The index's row of a leaf: a pure function, so that a row can be checked against the ledger. */
import { type Erasure, erasureOf } from '../erasure/erasure-record.ts'
import { LogRecord, type Part } from '../record.ts'
import { partsOf } from '../record-parts.ts'

export interface Row {
  readonly leaf: number
  readonly id: string
  readonly time: string
  readonly kind: string
  readonly provider: string | null
  readonly uid: number | null
  readonly model: string | null
  readonly status: number | null
  readonly outcome: string | null
  readonly input_tokens: number | null
  readonly output_tokens: number | null
  /** The exact leaf. */
  readonly bytes: Uint8Array
}

/** All that the index learns from a leaf. */
export interface IndexedLeaf {
  readonly row: Row
  /** Digests of the parts whose content was stored. */
  readonly digests: readonly Buffer[]
  readonly erasure: Erasure | undefined
}

export function indexedLeaf(leaf: number, bytes: Uint8Array, record: LogRecord): IndexedLeaf {
  const digests = storedParts(record).map(({ digest }) => Buffer.from(digest, 'hex'))
  return { row: rowOf(leaf, bytes, record), digests, erasure: erasureOf(record) }
}

/** The parts of a record whose content was stored. */
export const storedParts = (record: LogRecord): Part[] =>
  partsOf(record).flatMap(({ part }) => (part.stored ? [part] : []))

/** @throws an error where the leaf is no record of ours. */
export function parseLeaf(bytes: Uint8Array): LogRecord {
  return LogRecord.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
}

export function rowOf(leaf: number, bytes: Uint8Array, record: LogRecord): Row {
  const exchange = record.kind === 'exchange' ? record : undefined
  const agent = 'agent' in record ? record.agent : undefined
  const derived = exchange?.derived
  return {
    leaf,
    id: record.id,
    time: record.time,
    kind: record.kind,
    provider: exchange?.provider ?? null,
    uid: agent?.uid ?? null,
    model: derived?.['gen_ai.response.model'] ?? derived?.['gen_ai.request.model'] ?? null,
    status: exchange?.http.status ?? null,
    outcome: exchange?.outcome ?? null,
    input_tokens: derived?.['gen_ai.usage.input_tokens'] ?? null,
    output_tokens: derived?.['gen_ai.usage.output_tokens'] ?? null,
    bytes,
  }
}
