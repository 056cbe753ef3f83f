/** What only the embedded development chain is asked for, in anvil's own methods. */
import type { Chain } from './chain.ts'
import type { LaneContext } from './lane-context.ts'

/** 1,000 of a currency that is worth nothing. */
const BALANCE = 10n ** 21n

export async function giveBalance(chain: Chain, address: string): Promise<void> {
  await chain.rpc.call('anvil_setBalance', [address, `0x${BALANCE.toString(16)}`])
}

/**
 * Starts the chain anew where it has grown long: anvil keeps every block in memory (14 kB each, measured) and in its
 * state file (2 kB), so that 8,192 of them, six days of an anchor a minute, are about 110 MB. The chain's anchors are
 * no evidence, and the newest checkpoint, which covers all before it, is anchored again at once. True where it was
 * done.
 */
export async function startOverWhenLong({ chain, record, limits }: LaneContext): Promise<boolean> {
  const latest = await chain.block('latest')
  if (!latest || latest.number <= limits.maxBlocks) return false
  record.anchors = []
  record.contract = undefined
  await record.save()
  await chain.rpc.call('anvil_reset', [])
  return true
}
