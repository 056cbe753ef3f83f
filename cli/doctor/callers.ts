/** Which processes called providers, by the records. Pure. */
import type { LogRecord } from '../../daemon/recorder/record.ts'

export interface Caller {
  readonly pid: number
  readonly executable: string
  /** Milliseconds since the epoch. */
  readonly time: number
  /** It took the gateway's certificate. */
  readonly trusted: boolean
}

export function* callersIn(records: Iterable<LogRecord>): Generator<Caller> {
  for (const record of records) {
    if (record.kind !== 'exchange' && record.kind !== 'refusal') continue
    const time = Date.parse(record.time)
    const trusted = record.kind === 'exchange' && record.server.tls
    for (const { pid, executable } of record.agent.processes ?? [])
      if (executable !== undefined) yield { pid, executable, time, trusted }
  }
}
