/** The parts of a record that the body store holds. */
import type { LogRecord, Part } from '../daemon/recorder/record.ts'

export interface NamedPart {
  /** `request.head`, `request.body`, `response.head`, `response.body`. */
  readonly name: string
  readonly part: Part
}

/** In the order sent; parts that were never kept are left out. */
export function storedParts(record: LogRecord): NamedPart[] {
  if (record.kind !== 'exchange') return []
  const sides = { request: record.request, ...(record.response ? { response: record.response } : {}) }
  return Object.entries(sides)
    .flatMap(([side, { head, body }]) => [
      { name: `${side}.head`, part: head },
      { name: `${side}.body`, part: body },
    ])
    .filter(({ part }) => part.stored)
}
