/** The parts of a record: what was sent and received, of which it holds the salted digests. */
import type { LogRecord, Part } from './record.ts'

export const PART_NAMES = ['request.head', 'request.body', 'response.head', 'response.body'] as const
export type PartName = (typeof PART_NAMES)[number]

export interface NamedPart {
  readonly name: PartName
  readonly part: Part
}

/** In the order sent; only an exchange has any. */
export function partsOf(record: LogRecord): NamedPart[] {
  if (record.kind !== 'exchange') return []
  const { request, response } = record
  return [
    { name: 'request.head', part: request.head },
    { name: 'request.body', part: request.body },
    ...(response === undefined
      ? []
      : ([
          { name: 'response.head', part: response.head },
          { name: 'response.body', part: response.body },
        ] as const)),
  ]
}

/** Those that the body store was given. */
export const storedParts = (record: LogRecord): NamedPart[] =>
  partsOf(record).filter(({ part }) => part.stored)
