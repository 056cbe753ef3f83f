/**
 * What was seen leaving past the proxy and may go on no longer: a user's packets to an address that is no known
 * provider's, where he called a governed name; or that one flow, where nobody can be told (containers, raw sockets).
 *
 * Threat model: anybody may call a governed name anywhere. So a cut is as narrow as what is known of the sender: it
 * takes the address from nobody else, and nothing of what goes through the proxy.
 */
import { FirewallError } from './errors.ts'
import { canonicalAddress, type Endpoint } from './ip-address.ts'

export interface UserCut {
  /** Creator of the socket. */
  readonly uid: number
  /** Destination, canonical. */
  readonly address: string
}

export interface FlowCut {
  /** As the packets leave the machine, behind any translation of their source. */
  readonly source: Endpoint
  readonly address: string
}

export type Cut = UserCut | FlowCut

const MAX_UID = 0xffff_fffe

/** Canonical, sorted, each once. @throws FirewallError `invalid-enforcement` */
export function validateCuts(cuts: readonly Cut[]): Cut[] {
  const found = new Map(cuts.map(validated).map((cut) => [cutKey(cut), cut] as const))
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, cut]) => cut)
}

/** The same for the same cut. */
export function cutKey(cut: Cut): string {
  return 'uid' in cut
    ? `${cut.uid} . ${cut.address}`
    : `${cut.source.address} . ${cut.source.port} . ${cut.address}`
}

function validated(cut: Cut): Cut {
  const address = canonicalAddress(cut.address)
  if (!address) throw invalid(cut)
  if ('uid' in cut) {
    if (!Number.isInteger(cut.uid) || cut.uid < 0 || cut.uid > MAX_UID) throw invalid(cut)
    return { uid: cut.uid, address: address.address }
  }
  const { port } = cut.source
  const source = canonicalAddress(cut.source.address)
  if (!source || source.family !== address.family) throw invalid(cut)
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw invalid(cut)
  return { source: { address: source.address, port }, address: address.address }
}

const invalid = (cut: Cut) =>
  new FirewallError(
    'invalid-enforcement',
    `enforcement: cuts can't hold ${JSON.stringify(cut).slice(0, 120)}`,
    'give a uid or a source of the same family, and a plain address',
  )
