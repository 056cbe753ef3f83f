/** Rows of the status: how long the log is, how fresh its checkpoint, and what is still on its way; pure. */
import { ago } from '../ago.ts'
import type { RecorderStatus } from '../recorder-status.ts'
import { counted } from './numbers.ts'

export function ledgerRows(
  { records, pending, treeSize, checkpointTime }: RecorderStatus,
  now: Date,
): string[][] {
  const unsigned = records - Number(treeSize)
  const lag = [
    ...(unsigned > 0 ? [`${counted(unsigned, 'leaf', 'leaves')} not signed yet`] : []),
    ...(pending > 0 ? [`${counted(pending, 'record')} on the way`] : []),
  ]
  const what = [
    `${counted(records, 'leaf', 'leaves')}`,
    checkpointText(treeSize, checkpointTime, now),
    ...lag,
  ]
  return [['ledger', what.join(', ')]]
}

/** Before this start's first checkpoint, the one of an earlier start stands. */
function checkpointText(treeSize: string, signed: string | undefined, now: Date): string {
  if (signed !== undefined) return `checkpoint ${ago(signed, now)} old`
  return treeSize === '0' ? 'no checkpoint yet' : 'checkpoint of before this start'
}
