/** Raises the fence, knows what stood right after, and tells what is different since. */
import type { Enforcement } from '../../../firewall/enforcement.ts'
import { applyFence } from '../../../firewall/fence.ts'
import type { Nft } from '../../../firewall/nft.ts'
import { FENCE_TABLE, OWN_TABLES, removeFenceScript, renderFence } from '../../../firewall/nftables.ts'
import type { TableListing } from '../../../firewall/ruleset-listing.ts'
import { differenceOf, elementsIn, parseListing, strangersIn } from '../../../firewall/ruleset-listing.ts'

export interface FenceKeeper {
  /** Makes the fence what `enforcement` says, whatever others made of it. @throws FirewallError */
  raise(enforcement: Enforcement): Promise<void>
  /** The fence's sets hold the addresses of `enforcement` by now, by another way; all else is as it was. */
  extended(enforcement: Enforcement): void
  /** Whether the fence that was raised last looks at frames on the devices, which older kernels can't. */
  egress(): boolean
  /** Whether the fence was given the addresses of `enforcement`, by a raise or by another way. */
  holds(enforcement: Enforcement): boolean
  /**
   * What is not as it was right after the last {@link raise}; undefined where nothing is. Elements of sets are
   * looked at only where asked for: 10,000 of them take a tenth of a second.
   * @throws FirewallError
   */
  difference(options: {
    elements: boolean
  }): Promise<{ readonly table: string; readonly what: string } | undefined>
}

const TABLES = OWN_TABLES.filter(({ name }) => name === FENCE_TABLE)

export function fenceKeeper(nft: Nft): FenceKeeper {
  let expected = new Map<string, TableListing | undefined>()
  let extension: Enforcement | undefined
  /** The last that was raised or extended. */
  let given: Enforcement | undefined
  let egress = true

  const listed = async (elements: boolean) => {
    const listings = await Promise.all(
      TABLES.map(async ({ family, name }) => {
        const text = await nft.listText(family, name, { elements })
        const listing = text === undefined ? undefined : parseListing(text, elements)
        return [`${family} ${name}`, listing] as const
      }),
    )
    return new Map(listings)
  }

  return {
    async raise(enforcement) {
      const scripts: string[] = []
      const recorded: Nft = {
        ...nft,
        async apply(script) {
          await nft.apply(script)
          scripts.push(script)
        },
      }
      egress = (await applyFence(recorded, enforcement)).egress
      extension = undefined
      given = enforcement
      expected = await listed(true)
      const script = scripts.join('')
      const strange = TABLES.some(({ family, name }) => {
        const listing = expected.get(`${family} ${name}`)
        return listing !== undefined && strangersIn(listing, script, family, name).length > 0
      })
      if (!strange) return
      // Objects that somebody put into a table of ours go only with the table. Its counts go too.
      await nft.apply(removeFenceScript() + script)
      expected = await listed(true)
    },
    extended(enforcement) {
      extension = enforcement
      given = enforcement
    },
    egress: () => egress,
    holds: (enforcement) =>
      given !== undefined &&
      same(given.addresses4, enforcement.addresses4) &&
      same(given.addresses6, enforcement.addresses6),
    async difference({ elements }) {
      const addresses = elements && extension ? renderFence(extension) : undefined
      for (const { family, name } of TABLES) {
        const table = `${family} ${name}`
        const text = await nft.listText(family, name, { elements })
        const standing = text === undefined ? undefined : parseListing(text, elements)
        const wanted = withAddresses(expected.get(table), addresses, family, name)
        if (!wanted && !standing) continue
        if (!standing) return { table, what: 'it is gone' }
        const what = wanted ? differenceOf(wanted, standing) : 'it was not there before'
        if (what !== undefined) return { table, what }
      }
      return undefined
    },
  }
}

const same = (a: readonly string[], b: readonly string[]) =>
  a === b || (a.length === b.length && a.every((each, i) => each === b[i]))

/** The listing with the addresses that the script would put into its sets. */
function withAddresses(
  listing: TableListing | undefined,
  script: string | undefined,
  family: string,
  table: string,
): TableListing | undefined {
  if (!listing?.elements || script === undefined) return listing
  const elements = new Map(listing.elements)
  for (const set of ['llm4', 'llm6', 'llm4_carried'])
    if (elements.has(set)) elements.set(set, elementsIn(script, family, table, set))
  return { ...listing, elements }
}
