/**
 * Checks what the chain-writer keeps: anchors and the journals of its lanes. Not the development chain's own state:
 * anvil writes it in place and without a checksum, it is no evidence, and what it holds is asked of the chain.
 */
import { AnchorError } from '../base/errors.ts'
import type { Damage } from '../ledger/damage.ts'
import { damagedAlarms } from './alarms.ts'
import { ANCHORS_FILE, readAnchors } from './anchors.ts'
import { damagedAuthorizations } from './authorization-file.ts'
import { damagedJournals } from './journal.ts'

/** @param directory the chain-writer's; `file` of each Damage is relative to it */
export async function* checkChainState(directory: string): AsyncGenerator<Damage> {
  try {
    readAnchors(directory)
  } catch (error) {
    if (!(error instanceof AnchorError)) throw error
    yield { file: ANCHORS_FILE, what: `it is not what was written. ${error.remedy}` }
  }
  for (const file of await damagedJournals(directory)) {
    yield { file, what: 'it is not what was written; the next start sets it aside and asks the chain' }
  }
  for (const file of await damagedAlarms(directory)) {
    yield { file, what: 'it is not what was written; that it is there is the alarm, which stands' }
  }
}

/** What owners signed. @param directory where it lies; `file` of each Damage is relative to it */
export function* checkAuthorizations(directory: string): Generator<Damage> {
  for (const file of damagedAuthorizations(directory))
    yield { file, what: 'it is not what was written; remove it, and ask the owner anew' }
}
