/**
 * Who lives where in the laboratory. Addresses come from the blocks reserved for documentation
 * (RFC 5737, RFC 3849), so that a packet which ever escaped would find nobody; but for the public resolvers,
 * which agents know by their real addresses.
 */
export interface Site extends AddressPair {
  readonly name: string
  /** The addresses that the site moves to when its provider rotates them; it listens on both pairs. */
  readonly next?: AddressPair
}

interface AddressPair {
  readonly address4: string
  readonly address6: string
}

export const OPENAI: Site = {
  name: 'api.openai.com',
  address4: '203.0.113.10',
  address6: '2001:db8:113::10',
  next: { address4: '203.0.113.110', address6: '2001:db8:113::110' },
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

/*
 * What only the wide internet has (`startLab({ wide: true })`): names that the catalogue knows by a pattern, and
 * whatever an agent could go round by.
 */
export const AZURE: Site = {
  name: 'foo.openai.azure.com',
  address4: '203.0.113.11',
  address6: '2001:db8:113::11',
}
export const BEDROCK: Site = {
  name: 'bedrock-runtime.eu-central-1.amazonaws.com',
  address4: '203.0.113.12',
  address6: '2001:db8:113::12',
}
/** Speaks with nobody who shows no client certificate; over IPv6 in TLS 1.2, which asks for it at another moment. */
export const MUTUAL: Site = {
  name: 'mutual.openai.azure.com',
  address4: '203.0.113.13',
  address6: '2001:db8:113::13',
}
/** Asks for a client certificate and does without. */
export const ASKING: Site = {
  name: 'asking.openai.azure.com',
  address4: '203.0.113.14',
  address6: '2001:db8:113::14',
}
export const GEMINI: Site = {
  name: 'generativelanguage.googleapis.com',
  address4: '203.0.113.15',
  address6: '2001:db8:113::15',
}
export const MISTRAL: Site = {
  name: 'api.mistral.ai',
  address4: '203.0.113.16',
  address6: '2001:db8:113::16',
}
/** Speaks OpenAI's interface under a name that no catalogue has. */
export const UNLISTED: Site = {
  name: 'llm.example.net',
  address4: '203.0.113.31',
  address6: '2001:db8:113::31',
}
/** A resolver that is not the machine's own. */
export const FOREIGN_RESOLVER: Site = {
  name: 'resolver.example.net',
  address4: '203.0.113.54',
  address6: '2001:db8:113::54',
}
/** Passes connections on for whoever asks: CONNECT, SOCKS, SSH. */
export const RELAY: Site = {
  name: 'relay.example.net',
  address4: '203.0.113.60',
  address6: '2001:db8:113::60',
}
/** Public DoH and DoT services, under the addresses that agents have built in: these are the real ones. */
export const GOOGLE_DNS: Site = {
  name: 'dns.google',
  address4: '8.8.8.8',
  address6: '2001:4860:4860::8888',
}
export const CLOUDFLARE_DNS: Site = {
  name: 'cloudflare-dns.com',
  address4: '1.1.1.1',
  address6: '2606:4700:4700::1111',
}
/** An honest site that shares a provider's addresses, with a certificate of its own there. */
export const TENANT: Site = { ...ANTHROPIC, name: 'shop.example.org' }
/** An agent's own domain, whose DNS points at a provider that never heard of it. */
export const SQUATTER: Site = {
  name: 'mine.example.net',
  address4: OPENAI.address4,
  address6: OPENAI.address6,
}
/** Names at other sites' addresses. */
export const BORROWED_NAMES: readonly Site[] = [TENANT, SQUATTER]
/** The metadata service of a cloud, at the addresses that clouds have it at; it hands out the machine's credentials. */
export const METADATA: Site = {
  name: 'metadata.example.net',
  address4: '169.254.169.254',
  address6: 'fd00:ec2::254',
}
/** Sites of the wide internet that speak HTTP as the others do. */
export const WIDE_WEB_SITES: readonly Site[] = [
  AZURE,
  BEDROCK,
  UNLISTED,
  METADATA,
  MUTUAL,
  ASKING,
  GEMINI,
  MISTRAL,
]
export const ENCRYPTED_RESOLVERS: readonly Site[] = [GOOGLE_DNS, CLOUDFLARE_DNS]
export const WIDE_SITES: readonly Site[] = [
  ...ALL_SITES,
  ...WIDE_WEB_SITES,
  ...ENCRYPTED_RESOLVERS,
  FOREIGN_RESOLVER,
  RELAY,
]
/** Those that stand in the catalogue. */
export const PROVIDERS: readonly Site[] = [OPENAI, ANTHROPIC, AZURE, BEDROCK, MUTUAL, ASKING, GEMINI, MISTRAL]

/** Ports of the relay. 443 wraps CONNECT in TLS. */
export const RELAY_PORTS = { connect: 3128, socks: 1080, tls: 443, ssh: 22 } as const

/** JSON-RPC port of the EVM node. */
export const EVM_PORT = 8545

/** Ports of the web sites where anything that connects is logged: 8443 echoes, 9999 greets first. */
export const ECHO_PORT = 8443
export const GREETING_PORT = 9999
export const GREETING = '220 laboratory ready\r\n'

/** All addresses of a site, those it moves to included. */
export function addressesOf({ address4, address6, next }: Site): string[] {
  return [address4, address6, ...(next === undefined ? [] : [next.address4, next.address6])]
}

/** The link between the two namespaces. */
export const LINK = {
  internet4: '198.51.100.1',
  host4: '198.51.100.2',
  prefix4: 24,
  internet6: '2001:db8:51::1',
  host6: '2001:db8:51::2',
  prefix6: 64,
} as const
