/** What a sighting means, in a sentence for its record. */
import type { Sighting } from './tally.ts'

const REASONS: Readonly<Record<string, string>> = {
  'tls-name': 'a TLS connection to a governed name left past the proxy',
  'tls-address': "a TLS connection to a provider's address left past the proxy",
  'quic-name': 'a QUIC connection to a governed name left past the proxy',
  'quic-address': "a QUIC connection to a provider's address left past the proxy",
  tcp: 'TCP past the proxy',
  udp: 'UDP past the proxy',
  quic: 'QUIC, so that the client falls back to TCP',
  icmp: 'ICMP past the proxy',
  other: 'a protocol that the proxy does not carry',
  dot: 'DNS over TLS or QUIC to another resolver',
  direct: "a direct dial to the proxy's port",
  bound: 'a socket bound to a device, which cannot be redirected',
  guarded: "a port of the gateway's own",
  local: 'a service of this machine that is to be captured',
  cut: 'more to an address where a governed name was called past the proxy',
}

export function reasonOf({ kind, rule, together }: Sighting): string {
  const seen = kind === 'leak' && rule.startsWith('seen-')
  const egress = rule.startsWith('egress-')
  const known = REASONS[seen ? rule.slice('seen-'.length) : rule]
  const what =
    known ??
    (egress ? 'a packet that no socket of the proxy sent, at the device' : `packets under the rule ${rule}`)
  const how = seen ? `seen, not refused: ${what}` : kind === 'refused' ? `refused: ${what}` : what
  return together ? `${how} (several destinations, counted together)` : how
}
