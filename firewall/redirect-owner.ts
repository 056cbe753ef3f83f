/**
 * The redirect and the process that owns it. A table with `flags owner` belongs to the netlink socket that made
 * it: no other root process can change it, `nft flush ruleset` leaves it, and it goes when that socket closes.
 * The socket lives in a child (nft-session.ts), which dies with the daemon.
 */
import type { Enforcement } from './enforcement.ts'
import { validateAddresses } from './enforcement.ts'
import { FirewallError } from './errors.ts'
import { systemNft } from './nft.ts'
import type { NftSession } from './nft-session.ts'
import { openNftSession } from './nft-session.ts'
import { REDIRECT_TABLE, renderAdditions, renderDeletions, renderRedirect } from './nftables.ts'

export interface Redirect {
  /** Process id of the owner. */
  readonly pid: number
  /** Makes these the LLM addresses that are redirected: only the difference is sent, as one transaction. @throws FirewallError */
  update(addresses4: readonly string[], addresses6: readonly string[]): Promise<void>
  /** Exit code of the owner, `null` where a signal ended it. The redirect is gone then: start another. */
  readonly exited: Promise<number | null>
  /** Takes the redirect away; resolves when it is gone. Idempotent. */
  stop(): Promise<void>
}

/**
 * Starts the owner and resolves once the redirect stands and is owned.
 * @throws FirewallError with nft's own words where the rules are refused
 */
export async function startRedirect(enforcement: Enforcement): Promise<Redirect> {
  const rules = renderRedirect(enforcement)
  const session = await openNftSession()
  try {
    await session.run(rules)
    await verify(session)
  } catch (error) {
    await session.close()
    throw error
  }

  let standing = validateAddresses(enforcement.addresses4, enforcement.addresses6)
  let tail: Promise<void> = Promise.resolve()
  const update = async (next: typeof standing) => {
    const [additions4, additions6] = difference(next, standing)
    const [deletions4, deletions6] = difference(standing, next)
    await session.run(
      renderAdditions(REDIRECT_TABLE, additions4, additions6) +
        renderDeletions(REDIRECT_TABLE, deletions4, deletions6),
    )
    standing = next
  }
  return {
    pid: session.pid,
    exited: session.exited,
    stop: session.close,
    async update(addresses4, addresses6) {
      const next = validateAddresses(addresses4, addresses6)
      const result = tail.then(() => update(next))
      tail = result.catch(() => {})
      await result
    },
  }
}

async function verify(session: NftSession): Promise<void> {
  const ownership = await systemNft().ownership('inet', REDIRECT_TABLE)
  if (ownership === 'owned') return
  // A kernel that ignores the flag would leave the table behind for ever.
  if (ownership === 'unowned') await session.run(`delete table inet ${REDIRECT_TABLE}`)
  throw new FirewallError(
    'kernel-unsupported',
    ownership === 'absent' ? 'the redirect did not stay' : 'this kernel does not let a process own a table',
    'use a kernel >= 5.12 and nft >= 0.9.9',
  )
}

type Addresses = Pick<Enforcement, 'addresses4' | 'addresses6'>

function difference(of: Addresses, less: Addresses): [string[], string[]] {
  const without = (all: readonly string[], some: readonly string[]) => {
    const known = new Set(some)
    return all.filter((address) => !known.has(address))
  }
  return [without(of.addresses4, less.addresses4), without(of.addresses6, less.addresses6)]
}
