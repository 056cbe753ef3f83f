/** What the chain's head says about our ledger: pure. */
import type { AnchorCheckpoint } from './checkpoint.ts'
import type { Head } from './registry.ts'

export type Verdict =
  /** The chain has the newest checkpoint. */
  | 'anchored'
  /** The chain has less than we have, or nothing. */
  | 'behind'
  /** The chain has more than the ledger: the ledger was rolled back, or somebody else uses this key. */
  | 'ledger-behind'
  /** One size, two roots. */
  | 'equivocation'

/**
 * @param known sizes and roots that this gateway signed: its anchors
 * @param head of the log on the chain; size 0n where nothing is anchored
 */
export function verdictOn(
  head: Head,
  newest: AnchorCheckpoint,
  known: readonly { readonly size: string; readonly root: string }[],
): Verdict {
  const ours = known.find(({ size }) => BigInt(size) === head.size)
  if (ours && ours.root !== head.root) return 'equivocation'
  if (head.size === newest.size)
    return head.root === newest.root || head.size === 0n ? 'anchored' : 'equivocation'
  return head.size < newest.size ? 'behind' : 'ledger-behind'
}
