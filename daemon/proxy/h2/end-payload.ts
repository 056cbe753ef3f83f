/** What is known of the connection when an exchange on one of its streams is over. */
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
import type { ProxyError } from '../proxy-error.ts'
import { CERTIFICATE_WANTED } from '../relay/recording.ts'
import type { ExchangeHost } from './exchange-host.ts'

/** @param reached something of it was sent to the provider */
export function endPayload(
  { upstream, mismatch }: Pick<ExchangeHost, 'upstream' | 'mismatch'>,
  outcome: Outcome,
  reached: boolean,
  error: ProxyError | undefined,
): EndPayload {
  return {
    outcome,
    ...(upstream && reached ? { upstream: upstream.endpoint } : {}),
    ...(mismatch ? { destinationMismatch: true } : {}),
    ...(error ? { error: { code: error.code, message: error.message } } : {}),
    ...(upstream?.wantsCertificate ? { flags: [CERTIFICATE_WANTED] } : {}),
  }
}
