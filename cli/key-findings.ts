/** Whether the log's records of its keys make one line that ends with the key in force. */
import { keyHistory, type RecordedSuccession } from '../daemon/ledger/key-history.ts'
import type { Finding } from '../daemon/receipt/findings.ts'
import { readHistory } from '../daemon/vault/history.ts'
import { said } from './error-text.ts'
import type { Evidence } from './evidence.ts'

/** Nothing where no record names a key: the log is from before they were recorded, or has no leaf yet. */
export async function keyFindings(evidence: Evidence): Promise<Finding[]> {
  try {
    const recorded: RecordedSuccession[] = []
    for (const { id, key, note } of await readHistory(evidence.paths.keysDirectory)) {
      const row = key === 'log' ? evidence.index.get(id) : undefined
      if (row === undefined) continue
      // What counts is the leaf; the file beside the keys only says where to look.
      const leaf = evidence.ledger.entry(BigInt(row.leaf)).toString('utf8')
      const record = JSON.parse(leaf) as { detail?: { note?: unknown } }
      if (record.detail?.note !== note)
        throw new Error(`leaf ${row.leaf} holds another note than history.json`)
      recorded.push({ index: BigInt(row.leaf), note })
    }
    if (recorded.length === 0) return []
    const spans = keyHistory(recorded, evidence.verifierKey)
    const changes = recorded.map(({ index }) => `leaf ${index}`).join(', ')
    const detail = `${spans.length} key${spans.length === 1 ? '' : 's'} of the log in one line, by ${changes}`
    return [{ check: 'keys', result: 'proved', detail }]
  } catch (error) {
    return [{ check: 'keys', result: 'failed', detail: said(error) }]
  }
}
