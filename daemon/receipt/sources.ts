import type { AnchorState } from '../chain-writer/anchors.ts'
import type { SignedCheckpoint } from '../ledger/checkpoint.ts'
import type { LedgerReader } from '../ledger/reader.ts'

/** What receipts are made from. */
export interface Sources {
  readonly ledger: LedgerReader
  readonly verifierKey: string
  readonly anchors: AnchorState
  /** The newest checkpoint that witnesses cosigned, where there is one. */
  cosigned(): SignedCheckpoint | undefined
  /** Leaves that hold records of the log's keys; asked only where an older key signed. */
  keyRecords(): readonly bigint[]
}
