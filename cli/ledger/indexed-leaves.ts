/** Leaves as index.sqlite keeps them: the log needn't believe it, since the tree has each leaf's hash. */
import { AnchorError } from '../../daemon/base/errors.ts'
import type { ElsewhereLeaf } from '../../daemon/ledger/repair-leaves.ts'
import type { Evidence } from '../evidence.ts'

export function indexedLeaves(evidence: Evidence): ElsewhereLeaf {
  return (index) => {
    try {
      const [row] = evidence.index.list({ before: Number(index) + 1, limit: 1 })
      return row?.leaf === Number(index) ? row.bytes : undefined
    } catch (error) {
      // A damaged index helps nobody, and is no reason to stop.
      if (error instanceof AnchorError) return undefined
      throw error
    }
  }
}
