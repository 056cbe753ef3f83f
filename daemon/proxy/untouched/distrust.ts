/**
 * What the end of a TLS handshake says of the client: whether it would not take the gateway's certificate. Pure.
 *
 * RFC 8446 §6.2: who can't verify a certificate says so by an alert; who compares it with one that it carries along
 * (pinning) says bad_certificate or certificate_unknown, or nothing and closes.
 */
/** Who compares the certificate only after the handshake has none to break off any more, and just goes. */
export const LEFT_AT_ONCE =
  'the agent left right after the TLS handshake without a word: it may pin another certificate than the gateway’s'

export interface HandshakeEnd {
  /** What went wrong, in OpenSSL's words; undefined where the connection was closed without any. */
  readonly error: string | undefined
  /** We had sent our certificate by then. */
  readonly shown: boolean
}

/** Alerts about the certificate, by their numbers (RFC 8446 §6). That it has expired is a matter of clocks. */
const ALERTS: Readonly<Record<number, string>> = {
  42: 'it does not accept the gateway’s certificate (bad_certificate)',
  43: 'it does not accept the gateway’s kind of certificate (unsupported_certificate)',
  46: 'it does not accept the gateway’s certificate (certificate_unknown)',
  48: 'it does not know the CA of this machine’s gateway (unknown_ca)',
  113: 'it wants a stapled status of the certificate (bad_certificate_status_response)',
}
const ALERT = /SSL alert number (\d+)/

/** Why the client is one that can't be intercepted, in words for the record; undefined where something else failed. */
export function distrust({ error, shown }: HandshakeEnd): string | undefined {
  if (error !== undefined) return ALERTS[Number(ALERT.exec(error)?.[1])]
  return shown
    ? 'it closed the connection when it had seen the gateway’s certificate: it does not know the CA, or pins another'
    : undefined
}
