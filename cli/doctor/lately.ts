/** The records of the last day, from the index of a gateway of this machine. */
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import type { LogRecord } from '../../daemon/recorder/record.ts'
import type { Evidence } from '../evidence.ts'

const LATELY_MS = 86_400_000
const PAGE = 500
/** Of a kind: a machine that makes more in a day shows what is newest. */
const MOST_PAGES = 20

/** Newest first. */
export function* lately(
  { index }: Pick<Evidence, 'index'>,
  kind: 'refusal' | 'exchange',
): Generator<LogRecord> {
  const since = new Date(Date.now() - LATELY_MS).toISOString()
  let before: number | undefined
  for (let page = 0; page < MOST_PAGES; page++) {
    const rows = index.list({ kind, limit: PAGE, before })
    for (const row of rows) {
      if (row.time < since) return
      yield parseLeaf(row.bytes)
    }
    before = rows.at(-1)?.leaf
    if (rows.length < PAGE) return
  }
}
