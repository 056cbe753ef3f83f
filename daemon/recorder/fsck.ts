/**
 * Looks at every byte the recorder keeps beside the ledger: journal, packs, index. Safe beside a running
 * recorder: nothing is written, and what a write under way leaves half-done for a moment is no damage.
 */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../base/errors.ts'
import type { Damage } from '../ledger/damage.ts'
import { bodyKeys } from './bodies/keys.ts'
import { checkIndex } from './check/check-index.ts'
import { walDamage } from './check/check-index-wal.ts'
import { checkPacks } from './check/check-packs.ts'
import { settledScan } from './check/settled-scan.ts'
import { storedLeaves } from './check/stored-leaves.ts'
import { RecorderError } from './errors.ts'
import { INDEX_FILE, INDEX_WAL, openIndexDatabase } from './index/database.ts'
import { OPEN_MARK } from './intake/journal.ts'
import { decodeFrames } from './intake/journal-entry.ts'
import { sealedName, sealedNumbers } from './sealed/files.ts'

/** @param dir the recorder's directory; `file` of each Damage is relative to it. */
export async function* checkRecorder(dir: string, bodyKey: Buffer): AsyncGenerator<Damage> {
  yield* checkJournal(dir, bodyKey)
  const bad = await walDamage(path.join(dir, INDEX_WAL))
  if (bad !== undefined) yield { file: INDEX_WAL, ...bad }
  const packs = packNames(dir)
  const asleep = !existsSync(path.join(dir, INDEX_WAL))
  const found = await gathered(checkIndexed(dir, bodyKey))
  // A recorder that started meanwhile wrote to a file that was read as one that nobody writes to; an erasure or the
  // retention took packs away between two looks.
  const woken = asleep && existsSync(path.join(dir, INDEX_WAL))
  const moved = packs !== packNames(dir)
  yield* found.length > 0 && (woken || moved) ? await gathered(checkIndexed(dir, bodyKey)) : found
}

const packNames = (dir: string) => sealedNumbers(path.join(dir, 'packs'), 'pack').join()

async function gathered(damages: AsyncIterable<Damage>): Promise<Damage[]> {
  const list: Damage[] = []
  for await (const damage of damages) list.push(damage)
  return list
}

/** The index, and the packs with it; where it can't be read it is told once and the packs are checked without. */
async function* checkIndexed(dir: string, bodyKey: Buffer): AsyncGenerator<Damage> {
  const keys = bodyKeys(bodyKey)
  let database: DatabaseSync | undefined
  try {
    database = openIndexDatabase(path.join(dir, INDEX_FILE))
  } catch (error) {
    yield unreadable(error)
    yield* checkPacks(dir, keys, undefined)
    return
  }
  if (database === undefined) {
    yield* missing(dir)
    yield* checkPacks(dir, keys, undefined)
    return
  }
  try {
    yield* checkIndex(dir, database)
    yield* checkPacks(dir, keys, database)
  } catch (error) {
    yield unreadable(error)
    yield* checkPacks(dir, keys, undefined)
  } finally {
    database.close()
  }
}

const REMADE = 'it is made anew when the daemon starts without it'

/** @throws what is no fault of the index */
function unreadable(error: unknown): Damage {
  const damage = (what: string): Damage => ({ file: INDEX_FILE, what: `${what}; ${REMADE}` })
  if (error instanceof RecorderError && error.code === 'DAMAGED') return damage(error.message)
  if ((error as { code?: unknown }).code !== 'ERR_SQLITE_ERROR') throw error
  return damage(messageOf(error))
}

/** The recorder makes the index before it takes the first leaf. */
function* missing(dir: string): Generator<Damage> {
  const leaves = storedLeaves(path.join(dir, 'ledger')).count()
  if (leaves === undefined || leaves === 0) return
  const there = existsSync(path.join(dir, INDEX_FILE))
  const what = there ? 'it is no index of this version' : 'it is missing'
  yield { file: INDEX_FILE, what: `${what}; ${REMADE}` }
}

async function* checkJournal(dir: string, bodyKey: Buffer): AsyncGenerator<Damage> {
  const mark = path.join(dir, 'journal', OPEN_MARK)
  const open = existsSync(mark)
  const numbers = sealedNumbers(path.join(dir, 'journal'), 'journal')
  // Looked at twice: an orderly end takes the mark away first.
  if (open && numbers.length === 0 && existsSync(mark))
    yield { file: 'journal', what: 'its segments are missing' }
  for (const number of numbers) {
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
