/** The fence on the machine: apply, replace, read and remove. Each is idempotent and atomic. */
import { cgroupsOf, presentCgroups } from './cgroups.ts'
import type { Enforcement } from './enforcement.ts'
import { FirewallError } from './errors.ts'
import { deviceIndex } from './libc.ts'
import type { NamedCounter, Nft } from './nft.ts'
import { itemsOf } from './nft.ts'
import {
  FENCE_TABLE,
  OWN_TABLES,
  REDIRECT_TABLE,
  removeFenceScript,
  removeRedirectScript,
  renderFence,
  type Surroundings,
} from './nftables.ts'

/** A control group or device that vanishes between the look and the load makes nft refuse all of it. */
const ATTEMPTS = 3

export interface Raised {
  /** Whether the fence looks at frames on the devices too; older kernels can't. */
  readonly egress: boolean
}

/**
 * Makes the fence what `enforcement` says, in one transaction, whether one stands or not. Counters survive.
 * Devices and control groups that don't exist are left out: apply again when they appear.
 * @throws FirewallError
 */
export async function applyFence(nft: Nft, enforcement: Enforcement): Promise<Raised> {
  try {
    return await apply(nft, enforcement, '')
  } catch (error) {
    // A table of that name with other sets or hooks (an older release's) can't be changed in place.
    if (!(error instanceof FirewallError) || error.code !== 'rules-refused') throw error
    const standing = await Promise.all(
      OWN_TABLES.filter(({ name }) => name === FENCE_TABLE).map(({ family, name }) =>
        nft.ownership(family, name),
      ),
    )
    if (standing.every((each) => each === 'absent')) throw error
    return await replaceFence(nft, enforcement)
  }
}

/**
 * Puts a new fence in the place of whatever stands under its name, strangers' chains and sets in it included, in
 * one transaction too; the counts are lost.
 * @throws FirewallError
 */
function replaceFence(nft: Nft, enforcement: Enforcement): Promise<Raised> {
  return apply(nft, enforcement, removeFenceScript())
}

async function apply(nft: Nft, enforcement: Enforcement, before: string): Promise<Raised> {
  const { egress } = await loadPresent(enforcement, (present, around) =>
    nft.apply(before + renderFence(present, around)),
  )
  return { egress }
}

/** What there was when a ruleset was loaded. */
interface Loaded {
  readonly present: Enforcement
  readonly cgroups: ReadonlyMap<string, number>
  readonly egress: boolean
}

/** Loads rules for what there is on the machine and what the kernel can do. @throws FirewallError */
export async function loadPresent(
  enforcement: Enforcement,
  load: (present: Enforcement, around: Required<Surroundings>) => Promise<void>,
): Promise<Loaded> {
  let egress = true
  for (let attempt = 1; ; attempt++) {
    const { present, cgroups } = surroundings(enforcement)
    try {
      await load(present, { cgroups, egress })
      return { present, cgroups, egress }
    } catch (error) {
      const lacking = egress && error instanceof FirewallError && error.code === 'kernel-unsupported'
      if (!lacking && (attempt === ATTEMPTS || !isVanished(error))) throw error
      if (lacking) egress = false
    }
  }
}

/** What of an enforcement there is on this machine now: its devices, and the control groups that exist, with their ids. */
export function surroundings(enforcement: Enforcement): {
  readonly present: Enforcement
  readonly cgroups: ReadonlyMap<string, number>
} {
  return {
    present: {
      ...enforcement,
      uplinks: enforcement.uplinks.filter((name) => deviceIndex(name) !== undefined),
    },
    cgroups: presentCgroups(cgroupsOf(enforcement)),
  }
}

/** Whether nft refused a ruleset because something that it names was gone by then. */
function isVanished(error: unknown): boolean {
  return error instanceof FirewallError && /cgroupv2 path fails|No such (?:file|device)/.test(error.message)
}

/** Takes the fence away, and a redirect that nobody owns; idempotent. @throws FirewallError */
export async function removeFence(nft: Nft): Promise<void> {
  await nft.apply(removeFenceScript())
  const left = await Promise.all(
    OWN_TABLES.filter(({ name }) => name === REDIRECT_TABLE).map(({ family, name }) =>
      nft.ownership(family, name),
    ),
  )
  if (left.includes('unowned') && !left.includes('owned')) await nft.apply(removeRedirectScript())
}

/** Whether a fence with rules in it stands. @throws FirewallError */
export async function fencePresent(nft: Nft): Promise<boolean> {
  return itemsOf(await nft.listTable('inet', FENCE_TABLE)).some((item) => 'rule' in item)
}

/**
 * What was refused, seen and redirected since the tables were made, by counter: the sum over our tables, since
 * the owned ones refuse in the fence's place when somebody took it away.
 * @throws FirewallError
 */
export async function readCounters(nft: Nft): Promise<Record<string, NamedCounter>> {
  const sums: Record<string, NamedCounter> = {}
  for (const { family, table, name, packets, bytes } of await nft.listCounters()) {
    if (!OWN_TABLES.some((own) => own.family === family && own.name === table)) continue
    const sum = sums[name] ?? { packets: 0, bytes: 0 }
    sums[name] = { packets: sum.packets + packets, bytes: sum.bytes + bytes }
  }
  return sums
}
