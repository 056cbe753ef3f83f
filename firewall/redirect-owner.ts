/**
 * The daemon's tables and the process that owns them. A table with `flags owner` belongs to the netlink socket
 * that made it: no other root process can change it, `nft flush ruleset` leaves it, and it goes when that socket
 * closes. The socket lives in a child (nft-session.ts), which dies with the daemon.
 *
 * A daemon that is frozen but not dead keeps its child and its tables. So the redirect stands on a lease, which
 * the kernel lets run out: LLM traffic then meets the refusals instead of a proxy that doesn't answer.
 */
import type { Enforcement } from './enforcement.ts'
import { validateEnforcement } from './enforcement.ts'
import { FirewallError } from './errors.ts'
import { loadPresent, surroundings } from './fence.ts'
import { systemNft } from './nft.ts'
import type { NftSession } from './nft-session.ts'
import { openNftSession } from './nft-session.ts'
import {
  addressChange,
  FENCE_TABLE,
  OWN_TABLES,
  REDIRECT_TABLE,
  removeRedirectScript,
  renderAddressChange,
  renderBeat,
  renderCgroups,
  renderCuts,
  renderOwned,
  renderUplinks,
} from './nftables.ts'

export interface Redirect {
  /** Process id of the owner. */
  readonly pid: number
  /**
   * Makes the tables what `enforcement` says, by one transaction of only what differs. Changes of addresses are
   * made to the fence in the same one; where the fence isn't there to take them, the tables have them all the same
   * and the promise rejects with `rules-refused`: raise the fence again.
   * @throws FirewallError
   */
  update(enforcement: Enforcement): Promise<void>
  /** Renews the lease: without it, the redirect stops matching after `leaseMs`. @throws FirewallError */
  beat(): Promise<void>
  /** Exit code of the owner, `null` where a signal ended it. The tables are gone then: start another. */
  readonly exited: Promise<number | null>
  /** Takes the tables away; resolves when they are gone. Idempotent. */
  stop(): Promise<void>
}

/** What the tables hold, in the parts that are changed apart. */
interface Standing {
  /** With the devices that exist. */
  readonly enforcement: Enforcement
  /** All but addresses, devices, cuts and the control groups that exist. */
  readonly shape: string
  /** The groups that exist, by path, with their ids. */
  readonly cgroups: ReadonlyMap<string, number>
  readonly egress: boolean
}

/**
 * Starts the owner and resolves once its tables stand and are owned; the lease runs from here.
 * @throws FirewallError with nft's own words where the rules are refused
 */
export async function startRedirect(enforcement: Enforcement): Promise<Redirect> {
  validateEnforcement(enforcement)
  const session = await openNftSession()
  let standing: Standing
  try {
    standing = await raise(session, enforcement)
    await verify(session, standing.egress)
  } catch (error) {
    await session.close()
    throw error
  }

  let tail: Promise<void> = Promise.resolve()
  const update = async (wanted: Enforcement) => {
    const next = describe(wanted, standing.egress)
    if (next.shape !== standing.shape) {
      // Another policy: everything anew, in place and at once.
      standing = await make(session, wanted, '')
      return
    }
    const { egress } = standing
    const addresses = addressChange(standing.enforcement, next.enforcement)
    const own =
      renderAddressChange(REDIRECT_TABLE, addresses, { certain: true, egress }) +
      otherDifferences(standing, next)
    const fences = renderAddressChange(FENCE_TABLE, addresses, { certain: false, egress })
    try {
      await session.run(own + fences)
      standing = next
    } catch (error) {
      if (!(error instanceof FirewallError) || error.code !== 'rules-refused') throw error
      await session.run(own)
      standing = next
      throw error
    }
  }
  return {
    pid: session.pid,
    exited: session.exited,
    stop: session.close,
    beat: () => session.run(renderBeat(standing.enforcement.leaseMs)),
    update(wanted) {
      const result = tail.then(() => update(wanted))
      tail = result.catch(() => {})
      return result
    },
  }
}

/** The first of it: in the place of tables of that name that nobody owns. */
function raise(session: NftSession, enforcement: Enforcement): Promise<Standing> {
  return make(session, enforcement, removeRedirectScript())
}

async function make(session: NftSession, enforcement: Enforcement, before: string): Promise<Standing> {
  const { present, cgroups, egress } = await loadPresent(enforcement, (present, around) =>
    session.run(before + renderOwned(present, around)),
  )
  return describe(enforcement, egress, { present, cgroups })
}

function describe(
  enforcement: Enforcement,
  egress: boolean,
  { present, cgroups } = surroundings(enforcement),
): Standing {
  return {
    enforcement: validateEnforcement(present),
    shape: renderOwned({ ...enforcement, addresses4: [], addresses6: [], uplinks: [], cuts: [] }),
    cgroups,
    egress,
  }
}

function otherDifferences(from: Standing, to: Standing): string {
  const uplinks = ({ enforcement }: Standing) => enforcement.uplinks.join()
  const groups = ({ cgroups }: Standing) => JSON.stringify([...cgroups])
  const cuts = ({ enforcement }: Standing) => JSON.stringify(enforcement.cuts)
  return [
    uplinks(from) === uplinks(to) || !from.egress ? '' : renderUplinks(to.enforcement),
    cuts(from) === cuts(to) ? '' : renderCuts(to.enforcement),
    groups(from) === groups(to) ? '' : renderCgroups(to.enforcement, to.cgroups),
  ].join('')
}

async function verify(session: NftSession, egress: boolean): Promise<void> {
  const nft = systemNft()
  for (const { family, name } of OWN_TABLES) {
    if (name !== REDIRECT_TABLE || (family === 'netdev' && !egress)) continue
    const ownership = await nft.ownership(family, name)
    if (ownership === 'owned') continue
    // A kernel that ignores the flag would leave the table behind for ever.
    if (ownership === 'unowned') await session.run(removeRedirectScript())
    throw new FirewallError(
      'kernel-unsupported',
      ownership === 'absent' ? 'the redirect did not stay' : 'this kernel does not let a process own a table',
      'use a kernel >= 5.16 and nft >= 1.0.1',
    )
  }
}
