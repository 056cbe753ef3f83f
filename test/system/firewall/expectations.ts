import { readCounters } from '../../../firewall/fence.ts'
import type { Nft } from '../../../firewall/nft.ts'

export const FAMILIES = [4, 6] as const
export const REFUSED = /^error (ECONNREFUSED|ECONNRESET|EPERM|EACCES)$/
/** "At once" for a refusal: no retransmission (1 s) has passed. */
export const AT_ONCE_MS = 900
/** For what is dropped and so never answered; nothing here is far away. */
export const IN_VAIN = { patienceMs: 400 }

/** How much the named counters of our tables, together, grow while `act` runs. */
export async function growth(
  nft: Nft,
  names: string | string[],
  act: () => Promise<unknown>,
): Promise<number> {
  const sum = async () => {
    const counters = await readCounters(nft)
    return [names].flat().reduce((total, name) => total + (counters[name]?.packets ?? 0), 0)
  }
  const before = await sum()
  await act()
  return (await sum()) - before
}
