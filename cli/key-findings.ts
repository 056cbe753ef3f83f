/** Whether the log's records of the gateway's keys make one line that ends with those in force. */

import { said } from '../daemon/base/errors.ts'
import { keyHistory, type RecordedSuccession } from '../daemon/ledger/key-history.ts'
import type { LedgerReader } from '../daemon/ledger/reader.ts'
import type { Finding } from '../daemon/receipt/findings.ts'
import { openIndex, type RecordIndex } from '../daemon/recorder/index-reader.ts'
import { type Change, changeDetail, historyFile, readHistory } from '../daemon/vault/history.ts'
import type { Evidence } from './evidence.ts'

const CHECK = 'keys'

/** Nothing where no record names a key: the log is from before they were recorded, or has no leaf yet. */
export async function keyFindings(evidence: Evidence): Promise<Finding[]> {
  const file = historyFile(evidence.paths.keysDirectory)
  try {
    const changes = await readHistory(evidence.paths.keysDirectory)
    if (changes.length === 0 && namesItsKey(evidence)) throw new Error(`${file}: it is missing or empty`)
    const recorded = recordedSuccessions(evidence, changes, file)
    if (recorded.length === 0) return []
    const spans = keyHistory(recorded, evidence.verifierKey)
    const leaves = recorded.map(({ index }) => `leaf ${index}`).join(', ')
    const detail = `${spans.length} key${spans.length === 1 ? '' : 's'} of the log in one line, by ${leaves}`
    return [{ check: CHECK, result: 'proved', detail }]
  } catch (error) {
    return [{ check: CHECK, result: 'failed', detail: said(error) }]
  }
}

/** By an index of its own, closed again: one that stays open keeps SQLite from looking at the files anew. */
function recordedSuccessions(
  { paths, ledger }: Evidence,
  changes: readonly Change[],
  file: string,
): RecordedSuccession[] {
  const index = openIndex(paths.recorderState)
  try {
    const recorded: RecordedSuccession[] = []
    for (const change of changes) {
      const leaf = recordedAt(index, ledger, change, file)
      if (leaf !== undefined && change.key === 'log') recorded.push({ index: leaf, note: change.note })
    }
    return recorded
  } finally {
    index.close()
  }
}

/**
 * The leaf that holds a change; undefined while it is on its way there, or to an index that a power loss cut short.
 * @throws Error where it is another one
 */
function recordedAt(
  index: RecordIndex,
  ledger: LedgerReader,
  change: Change,
  file: string,
): bigint | undefined {
  const row = index.get(change.id)
  if (row === undefined) {
    const behind = BigInt(index.stats().records) < (ledger.checkpoint()?.size ?? 0n)
    if (change.pending || behind || ledger.checkpoint()?.size === 0n) return undefined
    throw new Error(`${file}: the log has no record ${change.id}`)
  }
  // What counts is the leaf; the file only says where to look.
  const { detail } = JSON.parse(ledger.entry(BigInt(row.leaf)).toString('utf8')) as { detail?: unknown }
  const same = JSON.stringify(sorted(detail)) === JSON.stringify(sorted(changeDetail(change)))
  // The time is in what was signed.
  if (same && change.note.split('\n')[4] === change.time) return BigInt(row.leaf)
  throw new Error(`${file}: it says something else than the record ${change.id} in leaf ${row.leaf}`)
}

const sorted = (detail: unknown): unknown[] =>
  Object.entries(detail ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))

/** Whether the log's first record names its key, as that of every log that began with this version does. */
function namesItsKey({ ledger }: Evidence): boolean {
  if ((ledger.checkpoint()?.size ?? 0n) === 0n) return false
  const first = JSON.parse(ledger.entry(0n).toString('utf8')) as { event?: unknown }
  return first.event === 'key-rotated'
}
