/** What is known of the connection when an exchange on one of its streams is over. */
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
import type { ProxyError } from '../proxy-error.ts'
import { CERTIFICATE_WANTED } from '../relay/recording.ts'
import type { ExchangeHost } from './exchange-host.ts'

type Known = Pick<ExchangeHost, 'upstream' | 'mismatch'>

/** @param reached something of it was sent to the provider */
export function factsAtEnd(
  { upstream, mismatch }: Known,
  reached: boolean,
): Pick<EndPayload, 'upstream' | 'destinationMismatch' | 'flags'> {
  return {
    ...(upstream && reached ? { upstream: upstream.endpoint } : {}),
    ...(mismatch ? { destinationMismatch: true } : {}),
    ...(upstream?.wantsCertificate ? { flags: [CERTIFICATE_WANTED] } : {}),
  }
}

/** @param reached something of it was sent to the provider */
export function endPayload(
  known: Known,
  outcome: Outcome,
  reached: boolean,
  error: ProxyError | undefined,
): EndPayload {
  return { outcome, ...factsAtEnd(known, reached), ...(error ? { error: saidOf(error) } : {}) }
}

export const saidOf = ({ code, message }: ProxyError) => ({ code, message })
