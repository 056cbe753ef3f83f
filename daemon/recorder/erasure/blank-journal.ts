/**
 * The journal's copies of what is erased: a segment stays as long as one exchange in it goes on, so entries of others
 * are overwritten where they stand, by blank ones of the same length. A crash in the middle of one leaves an entry that
 * doesn't open, which the next start tells as a damaged span of the journal; nothing of what it was for is lost by it.
 */
import path from 'node:path'
import type { FileSystem } from '../../base/durable/file-system.ts'
import { overwriteFile } from '../../base/durable/files.ts'
import { BLANK_ID, blankEntry, entryId } from '../intake/journal-entry.ts'
import { sealedName, sealedNumbers } from '../sealed/files.ts'
import { SealedReader } from '../sealed/sealed-reader.ts'

export interface JournalFiles {
  readonly dir: string
  readonly bodyKey: Buffer
  readonly fs: FileSystem
}

/** Of exchanges that are in log and packs: nobody reads their entries again. */
export async function blankJournal(
  { dir, bodyKey, fs }: JournalFiles,
  ids: readonly string[],
): Promise<void> {
  const erased = new Set(ids.filter((id) => id !== BLANK_ID))
  for (const number of sealedNumbers(dir, 'journal')) {
    const file = path.join(dir, sealedName('journal', number))
    const reader = openOr(file, bodyKey, number)
    if (reader === undefined) continue
    try {
      for (const found of reader.scan()) {
        if (!('plain' in found) || !erased.has(entryId(found.plain))) continue
        const blank = reader.sealed(found.offset, [blankEntry(found.plain.length)])
        await overwriteFile(file, blank, found.offset, fs)
      }
    } finally {
      reader.close()
    }
  }
}

/** Undefined where the segment has gone since it was listed. */
function openOr(file: string, bodyKey: Buffer, number: number): SealedReader | undefined {
  try {
    return new SealedReader(file, bodyKey, 'journal', number)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
