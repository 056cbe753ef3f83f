/** At which of the addresses that would be dialled for a foreign name its server may be spoken to under that name. */
import type { Inquiry } from './certificate-probe.ts'
import type { Claim } from './claim.ts'
import type { Vouching } from './vouching.ts'

export interface Admission {
  /** `look`: the server has governed names too, so what is said to it must be read. */
  readonly outcome: 'go' | 'look' | 'stop'
  /** Where to go; on `go` only. */
  readonly addresses: readonly string[]
  /** Asked for the first of them. */
  readonly inquiry?: Inquiry
  /** In words. */
  readonly why?: string
}

/**
 * The first address that is no provider's, or whose server vouches for the name, and after it those that are no
 * provider's. The first answer decides where none does.
 */
export async function admit(
  vouching: Vouching,
  isProvider: (address: string) => boolean,
  addresses: readonly string[],
  { about, asker, sole, read }: Claim,
): Promise<Admission> {
  let refused: string | undefined
  for (const [i, address] of addresses.entries()) {
    const go = [address, ...addresses.slice(i + 1).filter((other) => !isProvider(other))]
    if (!isProvider(address)) return { outcome: 'go', addresses: go }
    if (!sole) return { outcome: 'stop', addresses: [], why: 'the request gives two names' }
    const inquiry = { ...about, address }
    const { standing, why } = await vouching.ask(inquiry, asker)
    // Each request of plain HTTP is read as it is: nothing more would be seen by looking into it.
    if (standing === 'own' || (standing === 'shared' && read)) {
      return { outcome: 'go', addresses: go, inquiry }
    }
    if (standing === 'shared') return { outcome: 'look', addresses: [], why }
    refused ??= why
  }
  return { outcome: 'stop', addresses: [], ...(refused === undefined ? {} : { why: refused }) }
}
