/** What the supervisor has to say, as a record: pure but for ids and times that it left out. */
import { randomUUIDv7 } from 'node:crypto'
import { rfc3339 } from './finalise/time.ts'
import type { Evidence } from './messages.ts'
import type { LogRecord } from './record.ts'

/** What counts a span has the span's end as its time. */
export function evidenceRecord(evidence: Evidence): LogRecord {
  const id = evidence.id ?? randomUUIDv7()
  if (evidence.type === 'audit') {
    const { time, event, detail } = evidence
    return { v: 1, id, time: rfc3339(time ?? Date.now()), kind: 'audit', event, detail }
  }
  const from = rfc3339(evidence.from)
  const to = rfc3339(evidence.to)
  if (evidence.type === 'gap') {
    const { cause, detail } = evidence
    return { v: 1, id, time: to, kind: 'gap', cause, from, to, ...(detail === undefined ? {} : { detail }) }
  }
  const { type, destination, policy, ...seen } = evidence
  const common = {
    ...seen,
    ...{ v: 1 as const, id, time: to, from, to },
    ...(policy === undefined ? {} : { policy: { hash: policy } }),
  }
  return type === 'leak'
    ? { ...common, kind: 'leak', destination }
    : { ...common, kind: 'refusal', originalDestination: destination }
}
