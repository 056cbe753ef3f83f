/** Which key signed a receipt's checkpoint, and what leads from it to the log's key of today. */
import { type SignedCheckpoint, verifyCheckpoint } from '../ledger/checkpoint.ts'
import { LedgerError } from '../ledger/errors.ts'
import { keyFor, keyHistory } from '../ledger/key-history.ts'
import { successionNote } from './key-line.ts'
import type { KeyHistory, Receipt } from './receipt.ts'
import type { Sources } from './sources.ts'

/** @throws LedgerError where no key of the log signed the checkpoint, and what reading the log throws */
export function keysOf(
  checkpoint: SignedCheckpoint,
  newest: SignedCheckpoint,
  sources: Sources,
): Pick<Receipt, 'verifierKey' | 'keyHistory'> {
  const { ledger, verifierKey } = sources
  if (signedBy(checkpoint, verifierKey)) return { verifierKey }
  const leaves = sources.keyRecords().filter((leaf) => leaf < newest.size)
  const records = leaves.map((index) => ({ index, record: ledger.entry(index).toString('utf8') }))
  const spans = keyHistory(
    records.map(({ index, record }) => ({ index, note: successionNote(record) })),
    verifierKey,
  )
  const keyHistoryOf: KeyHistory = {
    checkpoint: newest.note,
    consistency: ledger.consistencyProof(checkpoint.size, newest.size).map(base64),
    successions: records.map(({ index, record }) => ({
      record,
      index: index.toString(),
      hashes: ledger.inclusionProof(index, newest.size).map(base64),
    })),
  }
  return {
    verifierKey: keyFor(spans, checkpoint.size)?.verifierKey ?? verifierKey,
    keyHistory: keyHistoryOf,
  }
}

const base64 = (hash: Buffer) => hash.toString('base64')

export function signedBy({ note }: SignedCheckpoint, verifierKey: string): boolean {
  try {
    verifyCheckpoint(note, verifierKey)
    return true
  } catch (error) {
    if (error instanceof LedgerError && error.code === 'UNKNOWN_KEY') return false
    throw error
  }
}
