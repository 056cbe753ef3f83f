/**
 * Where a connection that the policy lets through goes: to which address, if to any.
 *
 * Threat model: the pairing of name and address is the agent's. Where it is let through for its name, that goes to
 * the name's own addresses (`Decision.pinned`), which its owner chooses and may be a provider's: there the server
 * must vouch for the name (vouching/).
 */
import type { Socket } from 'node:net'
import { unlistedProvider } from '../../policies/call-shape.ts'
import type { Decision } from '../../policies/decision.ts'
import type { Policy } from '../../policies/policy.ts'
import type { RuleId } from '../../policies/rule-ids.ts'
import { ProxyError } from './proxy-error.ts'
import type { ConnectionFacts, Shared } from './relay/facts.ts'
import { reach } from './upstream/reach.ts'
import { admit } from './vouching/admission.ts'
import type { Claim } from './vouching/claim.ts'

export type Way =
  | { readonly go: Socket }
  /** It is to be intercepted, or refused. */
  | { readonly instead: Decision }
  /** The network's failure. */
  | { readonly failed: true }

/** @param claim the name to be vouched for; undefined where that isn't asked */
export async function findWay(
  shared: Shared,
  isProvider: (address: string) => boolean,
  { originalDestination: { address, port } }: ConnectionFacts,
  decision: Decision,
  claim: Claim | undefined,
): Promise<Way> {
  const name = decision.name ?? address
  try {
    const addresses = decision.pinned ? (await shared.directory.route(name, address)).addresses : [address]
    const admitted = claim && (await admit(shared.vouching, isProvider, addresses, claim))
    if (claim && admitted && admitted.outcome !== 'go') {
      return { instead: unvouched(shared.policy, claim, admitted.why, admitted.outcome) }
    }
    try {
      const { socket } = await reach(name, admitted?.addresses ?? addresses, port, shared.dialled)
      return { go: socket }
    } catch (error) {
      if (admitted?.inquiry) shared.vouching.forget(admitted.inquiry)
      throw error
    }
  } catch (error) {
    // An invented name is an attempt; a server that doesn't answer is the network's failure.
    if (!(error instanceof ProxyError) || error.code !== 'upstream_unresolved') return { failed: true }
    const reason = `${error.message}; it is taken to no other address`
    return { instead: { action: 'refuse', rule: decision.rule, name, reason } }
  }
}

const idOf = (policy: Policy, id: RuleId) => `${policy.name}/${id}`

/** What becomes of a foreign name that the server at a provider's address doesn't vouch for, or not for it alone. */
export function unvouched(
  policy: Policy,
  { name }: Pick<Claim, 'name'>,
  why = '',
  outcome: 'look' | 'stop' = 'stop',
): Decision {
  if (outcome === 'look') {
    const rule = idOf(policy, 'shared-certificate')
    const provider = unlistedProvider('opaque')
    return { action: 'intercept', rule, name, provider, reason: why, flags: ['unlisted-host'], pinned: true }
  }
  const reason = `${name} towards an address of an LLM provider: ${why}`
  return { action: 'refuse', rule: idOf(policy, 'unvouched-name'), name, reason }
}
