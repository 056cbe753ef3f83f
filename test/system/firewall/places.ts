/** Who lives where, by family: documentation addresses (RFC 5737, RFC 3849) and users that need not exist. */
export const LLM = { 4: '203.0.113.10', 6: '2001:db8:113::10' } as const
export const FOREIGN = { 4: '203.0.113.20', 6: '2001:db8:113::20' } as const
export const HOST = { 4: '192.0.2.2', 6: '2001:db8:1::2' } as const
export const BRIDGE = { 4: '198.51.100.1', 6: '2001:db8:51::1' } as const
export const CONTAINER = { 4: '198.51.100.2', 6: '2001:db8:51::2' } as const
export const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const

export const AGENT_UID = 1234
/** The proxy's: exempt. */
export const PROXY_UID = 1002
/** Of the service behind the guarded port. */
export const SERVICE_UID = 1300

export const PROXY_PORT = 18443
export const GUARDED_PORT = 18545

export const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
