/** The fence on the machine: apply, extend, read and remove. Each is idempotent and atomic. */
import type { Enforcement } from './enforcement.ts'
import { FirewallError } from './errors.ts'
import type { NamedCounter, Nft } from './nft.ts'
import { itemsOf } from './nft.ts'
import { FENCE_TABLE, REDIRECT_TABLE, removeFenceScript, renderAdditions, renderFence } from './nftables.ts'

/**
 * Makes the fence what `enforcement` says, in one transaction, whether one stands or not. Counters survive.
 * @throws FirewallError
 */
export async function applyFence(nft: Nft, enforcement: Enforcement): Promise<void> {
  const script = renderFence(enforcement)
  try {
    await nft.apply(script)
  } catch (error) {
    // A table of that name with other sets or hooks (an older release's) can't be changed in place; it is
    // replaced as a whole, in one transaction too, but its counts are lost.
    if (!(error instanceof FirewallError) || error.code !== 'rules-refused') throw error
    if ((await nft.ownership('inet', FENCE_TABLE)) === 'absent') throw error
    await nft.apply(removeFenceScript() + script)
  }
}

/** Adds LLM addresses to a standing fence at once, without touching its rules. @throws FirewallError */
export async function extendFence(
  nft: Nft,
  addresses4: readonly string[],
  addresses6: readonly string[],
): Promise<void> {
  const script = renderAdditions(FENCE_TABLE, addresses4, addresses6)
  if (script.trim() !== '') await nft.apply(script)
}

/** Takes the fence away, if it stands. @throws FirewallError */
export async function removeFence(nft: Nft): Promise<void> {
  await nft.apply(removeFenceScript())
}

/** Whether a fence with rules in it stands. @throws FirewallError */
export async function fencePresent(nft: Nft): Promise<boolean> {
  return itemsOf(await nft.listTable('inet', FENCE_TABLE)).some((item) => 'rule' in item)
}

/** What was refused and redirected since the tables were made, by counter. @throws FirewallError */
export async function readCounters(nft: Nft): Promise<Record<string, NamedCounter>> {
  const [fence, redirect] = await Promise.all(
    [FENCE_TABLE, REDIRECT_TABLE].map((table) => nft.listCounters('inet', table)),
  )
  return { ...fence, ...redirect }
}
