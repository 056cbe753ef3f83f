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
  /** Of node:tls, as `ERR_SSL_TLSV1_ALERT_UNKNOWN_CA`; undefined where the connection was closed without an alert. */
  readonly code: string | undefined
  /** We had sent our certificate by then. */
  readonly shown: boolean
}

/** Alerts about the certificate, by OpenSSL's names for them. */
const ALERTS: Readonly<Record<string, string>> = {
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not know the CA of this machine’s gateway (unknown_ca)',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'it does not accept the gateway’s certificate (bad_certificate)',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    'it does not accept the gateway’s certificate (certificate_unknown)',
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    'it does not accept the gateway’s kind of certificate (unsupported_certificate)',
  ERR_SSL_TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE:
    'it wants a stapled status of the certificate (bad_certificate_status_response)',
}

/** Why the client is one that can't be intercepted, in words for the record; undefined where something else failed. */
export function distrust({ code, shown }: HandshakeEnd): string | undefined {
  if (code !== undefined) return ALERTS[code]
  return shown
    ? 'it closed the connection when it had seen the gateway’s certificate: it does not know the CA, or pins another'
    : undefined
}
