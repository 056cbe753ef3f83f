/** What an earlier process left in the journal. */
import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { FrameType } from '../protocol.ts'
import { sealedName, sealedNumbers } from '../sealed/files.ts'
import { SealedReader } from '../sealed/sealed-reader.ts'
import { OPEN_MARK, type Ranges } from './journal.ts'
import { BLANK_ID, decodeFrames } from './journal-entry.ts'

export interface Recovered {
  /** Exchanges and refusals by id, in the order they began. */
  readonly exchanges: ReadonlyMap<string, { readonly ranges: Ranges; readonly ended: boolean }>
  /** Spans of segments that don't open. */
  readonly cuts: readonly { readonly file: string; readonly offset: number; readonly what: string }[]
  /** False where the earlier process ended cleanly, or there was none. */
  readonly unclean: boolean
  /** When that process was last known to live, milliseconds since the epoch. */
  readonly lastKnown: number
}

export function recoverJournal(dir: string, bodyKey: Buffer): Recovered {
  const exchanges = new Map<string, { ranges: Ranges; ended: boolean }>()
  const cuts: { file: string; offset: number; what: string }[] = []
  const numbers = sealedNumbers(dir, 'journal')
  let lastKnown = 0
  for (const number of numbers) {
    const file = path.join(dir, sealedName('journal', number))
    const name = path.basename(file)
    lastKnown = Math.max(lastKnown, statSync(file).mtimeMs)
    const reader = new SealedReader(file, bodyKey, 'journal', number)
    try {
      if (!reader.headerIntact) cuts.push({ file: name, offset: 0, what: 'the header does not authenticate' })
      for (const found of reader.scan()) {
        if ('damage' in found) {
          cuts.push({ file: name, offset: found.offset, what: found.damage })
          continue
        }
        const { id, frames } = decodeFrames(found.plain)
        if (id === BLANK_ID) continue
        const known = exchanges.get(id) ?? { ranges: [], ended: false }
        known.ranges.push(number, found.offset, found.length)
        known.ended ||= frames.some(({ type }) => type === FrameType.End || type === FrameType.Refusal)
        exchanges.set(id, known)
      }
    } finally {
      reader.close()
    }
  }
  const unclean = numbers.length > 0 || existsSync(path.join(dir, OPEN_MARK))
  return { exchanges, cuts, unclean, lastKnown }
}
