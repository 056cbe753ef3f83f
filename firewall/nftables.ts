/**
 * nftables text for an {@link Enforcement}: pure, with stable output, one command a line (so that the same
 * text serves `nft -f` and the interactive nft that owns the redirect). Written for nft 1.0.6 and later.
 *
 * Two names, each in the families inet and netdev. `aa_fence` outlives the daemon and refuses traffic that the
 * proxy doesn't carry; `aa_redirect` is owned by a child of the daemon and vanishes with it, so that with the
 * daemon dead LLM traffic meets the fence and (but for a fence around everything) the rest flows directly. The
 * owned tables carry a copy of the refusals, which nobody can flush while the daemon lives.
 *
 * Each text makes its tables what the enforcement says in one transaction and in place: chains and counters stay,
 * rules and elements change in the same commit, so that no packet ever finds the fence open and no count is lost.
 */
import type { Enforcement } from './enforcement.ts'
import { validateEnforcement } from './enforcement.ts'
import { cutElements } from './nftables-cuts.ts'
import { egressChains } from './nftables-egress.ts'
import { mayCut, redirection, renewLease } from './nftables-redirect.ts'
import { refusals } from './nftables-refusals.ts'
import { cgroupElements, type PresentCgroups, senderSets } from './nftables-senders.ts'
import { quoted, script, type TableText, tableText } from './nftables-text.ts'

export const FENCE_TABLE = 'aa_fence'
export const REDIRECT_TABLE = 'aa_redirect'

/** Every table that is ours: the fence's outlive the daemon, the redirect's belong to it. */
export const OWN_TABLES = [
  { family: 'inet', name: FENCE_TABLE },
  { family: 'netdev', name: FENCE_TABLE },
  { family: 'inet', name: REDIRECT_TABLE },
  { family: 'netdev', name: REDIRECT_TABLE },
] as const

/** After other tables' filters (0): an accept there can't shorten these, and their drops stay theirs. */
const FENCE_PRIORITY = 10
const COPY_PRIORITY = 11

/** What there is on the machine where the text is loaded. */
export interface Surroundings {
  /** Control groups that exist; `unknown`, the default, before there are any. */
  readonly cgroups?: PresentCgroups
  /** Whether the kernel has what the egress chains take (Linux 5.16 with IP_ROUTE_CLASSID); default true. */
  readonly egress?: boolean
}

/**
 * The whole fence as one transaction. Kernels before 6.16 refuse a chain on a device that they don't know: give no
 * `uplinks` but those that exist.
 * @throws FirewallError `invalid-enforcement`
 */
export function renderFence(
  enforcement: Enforcement,
  { cgroups = 'unknown', egress = true }: Surroundings = {},
): string {
  const e = validateEnforcement(enforcement)
  const inet = tableText('inet', FENCE_TABLE)
  const sets = inetSets(inet, e, cgroups)
  const chains = refusals(inet, e, { priority: FENCE_PRIORITY, cgroups, counts: true })
  return script([
    inet.whole('add'),
    ...sets.declare,
    ...chains.declare,
    // Empty on purpose: while any nat chain stands, the kernel goes on translating connections that were
    // redirected, so those under way survive a restart of the redirect's owner.
    inet.add('chain keep_nat { type nat hook output priority -90; policy accept; }'),
    inet.whole('flush'),
    ...sets.fill,
    ...chains.rules,
    ...(egress ? renderEgress(FENCE_TABLE, e, '') : []),
  ])
}

/**
 * The fence for the next boot, which loads before there are devices and control groups: without the egress chains,
 * and with everybody governed where subjects are given by control group. @throws FirewallError
 */
export function renderBootFence(enforcement: Enforcement): string {
  return renderFence(enforcement, { cgroups: 'unknown', egress: false })
}

/**
 * The fence's egress chains for the next boot, apart from the rest: before Linux 6.16 the kernel refuses all of it
 * where one of the devices isn't there yet. @throws FirewallError
 */
export function renderBootEgress(enforcement: Enforcement): string {
  return script(renderEgress(FENCE_TABLE, validateEnforcement(enforcement), ''))
}

/**
 * The tables of the daemon as one transaction, for the interactive nft that owns them; fails (EPERM) where another
 * process owns one. The lease runs from here.
 * @throws FirewallError `invalid-enforcement`
 */
export function renderOwned(
  enforcement: Enforcement,
  { cgroups = 'unknown', egress = true }: Surroundings = {},
): string {
  const e = validateEnforcement(enforcement)
  const inet = tableText('inet', REDIRECT_TABLE)
  const sets = inetSets(inet, e, cgroups)
  const copy = refusals(inet, e, { priority: COPY_PRIORITY, cgroups, counts: false })
  const redirect = redirection(inet, e, cgroups)
  return script([
    `${inet.whole('add')} { flags owner; }`,
    ...sets.declare,
    ...copy.declare,
    ...redirect.declare,
    inet.whole('flush'),
    ...sets.fill,
    ...renewLease(inet, e.leaseMs),
    ...(mayCut(e) ? cutElements(inet, e.cuts ?? []) : []),
    ...copy.rules,
    ...redirect.rules,
    ...(egress ? renderEgress(REDIRECT_TABLE, e, ' { flags owner; }') : []),
  ])
}

/** Commands that renew the lease of the redirect. */
export function renderBeat(leaseMs: number): string {
  return script(renewLease(tableText('inet', REDIRECT_TABLE), leaseMs))
}

/** Script that takes the fence away, whether it stands or not. */
export function removeFenceScript(): string {
  return removal(FENCE_TABLE)
}

/** Script that takes away tables of the redirect that nobody owns; fails (EPERM) where somebody does. */
export function removeRedirectScript(): string {
  return removal(REDIRECT_TABLE)
}

/** What comes to the sets of LLM addresses and what goes, by set. */
type AddressSet = 'llm4' | 'llm6' | 'llm4_carried'
export type AddressChange = readonly { set: AddressSet; come: string[]; gone: string[] }[]

type Addresses = Pick<Enforcement, 'addresses4' | 'addresses6'>

/** @param from validated, as is `to` */
export function addressChange(from: Addresses, to: Addresses): AddressChange {
  const change = (set: AddressSet, before: readonly string[], after: readonly string[]) => ({
    set,
    come: without(after, before),
    gone: without(before, after),
  })
  const four = change('llm4', from.addresses4, to.addresses4)
  return [
    four,
    change('llm6', from.addresses6, to.addresses6),
    { set: 'llm4_carried', come: carried(four.come), gone: carried(four.gone) },
  ]
}

function without(all: readonly string[], some: readonly string[]): string[] {
  const known = new Set(some)
  return all.filter((each) => !known.has(each))
}

/**
 * Commands that make a change of addresses in both families of `table`. `certain` says that the sets are known to
 * hold what goes; else it is taken out whether it is there or not.
 */
export function renderAddressChange(
  table: string,
  changes: AddressChange,
  { certain, egress }: { readonly certain: boolean; readonly egress: boolean },
): string {
  const families = egress ? (['inet', 'netdev'] as const) : (['inet'] as const)
  const commands = families.flatMap((family) => {
    const text = tableText(family, table)
    const here = changes.filter(({ set }) => family === 'inet' || set !== 'llm4_carried')
    return here.flatMap(({ set, come, gone }) => [
      ...text.elements(set, come),
      // Taking out what isn't there is an error; adding what is there isn't.
      ...(certain ? [] : text.elements(set, gone)),
      ...text.elements(set, gone).map((command) => command.replace('add', 'delete')),
    ])
  })
  return commands.length === 0 ? '' : script(commands)
}

/** Commands that put the owned tables on these devices, or take them off all. */
export function renderUplinks(enforcement: Enforcement): string {
  return script(baseChain(tableText('netdev', REDIRECT_TABLE), validateEnforcement(enforcement).uplinks))
}

/** Commands that make the owned tables cut off these. */
export function renderCuts(enforcement: Enforcement): string {
  const e = validateEnforcement(enforcement)
  return mayCut(e) ? script(cutElements(tableText('inet', REDIRECT_TABLE), e.cuts ?? [])) : ''
}

/** Commands that make the owned tables know the control groups that exist now. */
export function renderCgroups(enforcement: Enforcement, cgroups: PresentCgroups): string {
  return script(cgroupElements(tableText('inet', REDIRECT_TABLE), validateEnforcement(enforcement), cgroups))
}

function inetSets(text: TableText, e: Enforcement, cgroups: PresentCgroups) {
  const senders = senderSets(text, e, cgroups)
  return {
    declare: [
      ...senders.declare,
      text.add('set bridges { type ifname; flags interval; }'),
      ...addressSets(text),
      text.add('set llm4_carried { type ipv6_addr; }'),
    ],
    fill: [
      ...senders.fill,
      ...text.replace('bridges', quoted(e.bridges)),
      ...addressElements(text, e),
      ...text.replace('llm4_carried', carried(e.addresses4)),
    ],
  }
}

/** An address as the last bits of an IPv6 one, see TO_PROVIDERS; in the spelling that nft lists. */
const carried = (addresses4: readonly string[]) => addresses4.map((address) => `::${address}`)

const addressSets = (text: TableText) => [
  text.add('set llm4 { type ipv4_addr; }'),
  text.add('set llm6 { type ipv6_addr; }'),
]

const addressElements = (text: TableText, e: Addresses) => [
  ...text.replace('llm4', e.addresses4),
  ...text.replace('llm6', e.addresses6),
]

function renderEgress(table: string, e: Enforcement, flags: string): string[] {
  const text = tableText('netdev', table)
  const senders = senderSets(text, e, 'unknown')
  const chains = egressChains(text, e)
  return [
    `${text.whole('add')}${flags}`,
    ...senders.declare,
    ...addressSets(text),
    ...chains.declare,
    text.whole('flush'),
    ...senders.fill,
    ...addressElements(text, e),
    ...chains.rules,
    ...baseChain(text, e.uplinks),
  ]
}

/**
 * The chain that hangs on the devices. nft can't take devices from a chain before kernel 6.4, so it is replaced;
 * both stand during the transaction, and the new one judges from the commit on.
 */
function baseChain({ add }: TableText, uplinks: readonly string[]): string[] {
  const chain = add('chain egress')
  const devices = quoted(uplinks).join(', ')
  return [
    chain,
    chain.replace('add', 'delete'),
    ...(uplinks.length === 0
      ? []
      : [
          `${chain} { type filter hook egress devices = { ${devices} } priority 0; policy accept; }`,
          add('rule egress goto judge'),
        ]),
  ]
}

function removal(table: string): string {
  // `add` first: deleting a table that isn't there is an error, adding one that is there isn't.
  return script(
    (['inet', 'netdev'] as const).flatMap((family) => {
      const text = tableText(family, table)
      return [text.whole('add'), text.whole('delete')]
    }),
  )
}
