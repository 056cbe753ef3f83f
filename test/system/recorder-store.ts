/** What a recorder left in its directory. */
import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { checkLedger } from '../../daemon/ledger/fsck.ts'
import { checkRecorder } from '../../daemon/recorder/fsck.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import { openIndex } from '../../daemon/recorder/index-reader.ts'
import type { ExchangeRecord, LogRecord } from '../../daemon/recorder/record.ts'
import type { startMessage } from '../unit/recorder-fixtures.ts'

type Start = ReturnType<typeof startMessage>

export async function damage(start: Start): Promise<string[]> {
  const found: string[] = []
  for await (const { file } of checkRecorder(start.stateDir, start.bodyKey)) found.push(file)
  for await (const { file } of checkLedger(path.join(start.stateDir, 'ledger'), start.verifierKey)) {
    found.push(`ledger/${file}`)
  }
  return found
}

export function records(start: Start): LogRecord[] {
  const index = openIndex(start.stateDir)
  const rows = index.list({ limit: 10_000 })
  index.close()
  return rows.map(({ bytes }) => parseLeaf(bytes))
}

export const exchanges = (start: Start) =>
  records(start).filter((r): r is ExchangeRecord => r.kind === 'exchange')

export function files(dir: string): string[] {
  return (readdirSync(dir, { recursive: true }) as string[]).filter((f) =>
    statSync(path.join(dir, f)).isFile(),
  )
}
