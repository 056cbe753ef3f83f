/**
 * Who lives where in the laboratory. Addresses come from the blocks reserved for documentation
 * (RFC 5737, RFC 3849), so that a packet which ever escaped would find nobody.
 */
export interface Site {
  readonly name: string
  readonly address4: string
  readonly address6: string
}

export const OPENAI: Site = {
  name: 'api.openai.com',
  address4: '203.0.113.10',
  address6: '2001:db8:113::10',
}
export const ANTHROPIC: Site = {
  name: 'api.anthropic.com',
  address4: '203.0.113.20',
  address6: '2001:db8:113::20',
}
/** A plain HTTPS site that is no provider. */
export const EXAMPLE: Site = {
  name: 'www.example.org',
  address4: '203.0.113.30',
  address6: '2001:db8:113::30',
}
export const RESOLVER: Site = {
  name: 'dns.example.org',
  address4: '203.0.113.53',
  address6: '2001:db8:113::53',
}
export const EVM: Site = { name: 'evm.example.org', address4: '203.0.113.80', address6: '2001:db8:113::80' }

/** The sites that speak HTTP. */
export const WEB_SITES: readonly Site[] = [OPENAI, ANTHROPIC, EXAMPLE]
export const ALL_SITES: readonly Site[] = [...WEB_SITES, RESOLVER, EVM]

/** JSON-RPC port of the EVM node. */
export const EVM_PORT = 8545

/** Ports of the web sites where anything that connects is logged: 8443 echoes, 9999 greets first. */
export const ECHO_PORT = 8443
export const GREETING_PORT = 9999
export const GREETING = '220 laboratory ready\r\n'

/** The link between the two namespaces. */
export const LINK = {
  internet4: '198.51.100.1',
  host4: '198.51.100.2',
  prefix4: 24,
  internet6: '2001:db8:51::1',
  host6: '2001:db8:51::2',
  prefix6: 64,
} as const
