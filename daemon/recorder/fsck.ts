/**
 * Looks at every byte the recorder keeps beside the ledger: journal, packs, index. Safe beside a running
 * recorder: nothing is written, and what a write under way leaves half-done for a moment is no damage.
 */
import path from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../base/errors.ts'
import type { Damage } from '../ledger/damage.ts'
import { bodyKeys } from './bodies/keys.ts'
import { checkIndex } from './check/check-index.ts'
import { checkPacks } from './check/check-packs.ts'
import { settledScan } from './check/settled-scan.ts'
import { INDEX_FILE, openIndexDatabase } from './index/database.ts'
import { decodeFrames } from './intake/journal-entry.ts'
import { sealedName, sealedNumbers } from './sealed/files.ts'

/** @param dir the recorder's directory; `file` of each Damage is relative to it. */
export async function* checkRecorder(dir: string, bodyKey: Buffer): AsyncGenerator<Damage> {
  yield* checkJournal(dir, bodyKey)
  let database: DatabaseSync | undefined
  try {
    database = openIndexDatabase(path.join(dir, INDEX_FILE))
    // A first look, so that a file that is no database is told once and the packs are checked all the same.
    database?.prepare('SELECT count(*) FROM record').get()
  } catch (error) {
    yield unreadable(error)
    database = undefined
  }
  try {
    if (database !== undefined) yield* checkIndex(dir, database)
    yield* checkPacks(dir, bodyKeys(bodyKey), database)
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_SQLITE_ERROR') throw error
    yield unreadable(error)
    yield* checkPacks(dir, bodyKeys(bodyKey), undefined)
  } finally {
    database?.close()
  }
}

function unreadable(error: unknown): Damage {
  return { file: INDEX_FILE, what: `${messageOf(error)}; it is made anew when the daemon starts without it` }
}

async function* checkJournal(dir: string, bodyKey: Buffer): AsyncGenerator<Damage> {
  for (const number of sealedNumbers(path.join(dir, 'journal'), 'journal')) {
    const file = `journal/${sealedName('journal', number)}`
    const name = { path: path.join(dir, file), purpose: 'journal', number } as const
    for await (const found of settledScan(name, bodyKey)) {
      if ('damage' in found) yield { file, offset: found.offset, what: found.damage }
      else if (!isJournalEntry(found.plain)) yield { file, offset: found.offset, what: 'an unknown form' }
    }
  }
}

function isJournalEntry(plain: Buffer): boolean {
  try {
    decodeFrames(plain)
    return true
  } catch {
    return false
  }
}
