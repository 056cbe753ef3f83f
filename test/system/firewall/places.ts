/** Who lives where, by family: documentation addresses (RFC 5737, RFC 3849) and users that need not exist. */
export const LLM = { 4: '203.0.113.10', 6: '2001:db8:113::10' } as const
export const FOREIGN = { 4: '203.0.113.20', 6: '2001:db8:113::20' } as const
export const HOST = { 4: '192.0.2.2', 6: '2001:db8:1::2' } as const
export const ROUTER = { 4: '192.0.2.1', 6: '2001:db8:1::1' } as const
export const BRIDGE = { 4: '198.51.100.1', 6: '2001:db8:51::1' } as const
export const CONTAINER = { 4: '198.51.100.2', 6: '2001:db8:51::2' } as const
/** A container on a macvlan of the uplink. */
export const VIRTUAL = { 4: '192.0.2.50', 6: '2001:db8:1::50' } as const
export const LOOPBACK = { 4: '127.0.0.1', 6: '::1' } as const

export const UPLINK = 'uplink'
/** Where the container's packets come in. */
export const BRIDGE_DEVICE = 'br-lab'

export const AGENT_UID = 1234
/** The proxy's: exempt. */
export const PROXY_UID = 1002
/** Of the service behind the guarded port. */
export const SERVICE_UID = 1300
/** Of a time service, which may send past a fence around everything. */
export const CLOCK_UID = 1400
export const EXEMPT_UID = 1500
export const SUBJECT_GID = 1600
export const EXEMPT_GID = 1700

export const PROXY_PORT = 18443
export const DNS_PORT = 18053
export const GUARDED_PORT = 18545
/** Of a local LLM server. */
export const LOCAL_PORT = 11434

export const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
