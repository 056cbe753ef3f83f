/** What a decision to intercept makes of a connection. */
import { UNLISTED } from '../../../policies/catalogue-schema.ts'
import type { Decision } from '../../../policies/decision.ts'
import type { Sniffed } from '../sniff/sniff.ts'
import type { ConnectionFacts, Governed } from './facts.ts'

/** Flag of a connection to a server on this machine. */
export const LOCAL = 'local'

/**
 * @param atProvider the original destination is a known address of a provider's
 * @returns undefined where the decision names no provider or no name
 */
export function governedBy(
  { name, provider, rule, flags, pinned }: Decision,
  { protocol }: Sniffed,
  facts: ConnectionFacts,
  atProvider: boolean,
): Governed | undefined {
  if (name === undefined || provider === undefined) return undefined
  const local = flags?.includes(LOCAL) ?? false
  const unlisted = provider.id === UNLISTED
  return {
    ...facts,
    name,
    provider,
    rule,
    tls: protocol === 'tls',
    ...(flags ? { flags } : {}),
    ...(local ? { local } : {}),
    // With TLS the server there has shown a certificate for the name by then; without, nobody vouches for it.
    ...(unlisted && atProvider && protocol === 'http' ? { everything: true } : {}),
    ...(local || (unlisted && !pinned) ? { direct: true } : {}),
  }
}
