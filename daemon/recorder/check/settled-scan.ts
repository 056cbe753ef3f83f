/** Entries of a sealed file that may still be written to: what doesn't open is looked at again a little later. */
import { setTimeout as delay } from 'node:timers/promises'
import { FILE_HEADER, type Purpose } from '../sealed/format.ts'
import { type SealedDamage, type SealedEntry, SealedReader } from '../sealed/sealed-reader.ts'

export interface SealedFileName {
  readonly path: string
  readonly purpose: Purpose
  readonly number: number
}

/** A write under way is over after this on any disk that still works. */
const SETTLE_MS = 400
const HEADER_DAMAGE: SealedDamage = { offset: 0, damage: 'the header does not authenticate', tail: false }

/** Nothing where the file is gone: the recorder removes segments that it needs no more. */
export async function* settledScan(
  file: SealedFileName,
  bodyKey: Buffer,
): AsyncGenerator<SealedEntry | SealedDamage> {
  let from = FILE_HEADER
  let suspect: number | undefined
  let header: 'unseen' | 'suspect' | 'told' = 'unseen'
  for (;;) {
    const reader = open(file, bodyKey)
    if (reader === undefined) return
    let again = false
    try {
      if (!reader.headerIntact && header === 'unseen') {
        header = 'suspect'
        again = true
      } else {
        if (!reader.headerIntact && header === 'suspect') {
          header = 'told'
          yield HEADER_DAMAGE
        }
        for (const found of reader.scan(from)) {
          if ('damage' in found && found.offset !== suspect) {
            suspect = found.offset
            from = found.offset
            again = true
            break
          }
          yield found
        }
      }
    } finally {
      reader.close()
    }
    if (!again) return
    await delay(SETTLE_MS)
  }
}

function open({ path, purpose, number }: SealedFileName, bodyKey: Buffer): SealedReader | undefined {
  try {
    return new SealedReader(path, bodyKey, purpose, number)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
