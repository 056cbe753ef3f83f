/** When a leaf that an earlier process made came into the log: by its record, read from the log beside its writer. */
import { openReader } from '../../ledger/reader.ts'
import { parseLeaf } from '../index/row.ts'

/** @returns milliseconds since the epoch; undefined where it can't be read */
export function leafTime(ledger: string, leaf: bigint): number | undefined {
  try {
    const record = parseLeaf(openReader(ledger).entry(leaf))
    // An exchange is in the log when it is over, what was counted when the counting ended.
    if (record.kind === 'exchange') return Date.parse(record.time) + record.timing.end
    return Date.parse(('to' in record && record.to) || record.time)
  } catch {
    return undefined
  }
}
