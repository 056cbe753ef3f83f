import { isIP, SocketAddress } from 'node:net'

/** An end of a connection: a textual address in its canonical form, and a port. */
export interface Endpoint {
  readonly address: string
  readonly port: number
}

interface CanonicalAddress {
  readonly family: 4 | 6
  readonly address: string
}

export const MAPPED_PREFIX = Buffer.from('00000000000000000000ffff', 'hex')
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/

/**
 * The one canonical text (RFC 5952) of an address: zone refused, IPv4-mapped addresses as IPv4, because that
 * is what goes over the wire. `undefined` for anything that isn't an address.
 */
export function canonicalAddress(text: string): CanonicalAddress | undefined {
  const before = seen.get(text)
  if (before) return before
  const found = canonical(text)
  if (!found) return undefined
  // The same thousands of addresses pass here with each change of the rules.
  if (seen.size === MAX_SEEN) seen.clear()
  seen.set(text, found)
  return found
}

const MAX_SEEN = 65_536
const seen = new Map<string, CanonicalAddress>()

function canonical(text: string): CanonicalAddress | undefined {
  const family = isIP(text)
  if (family === 4) return { family, address: text }
  if (family !== 6 || text.includes('%')) return undefined
  const address = new SocketAddress({ address: text, family: 'ipv6' }).address
  const mapped = MAPPED.exec(address)?.[1]
  return mapped === undefined ? { family, address } : { family: 4, address: mapped }
}

/** Network-order bytes of an address: 4 for IPv4 and IPv4-mapped ones, else 16; `undefined` where it is none. */
export function addressBytes(text: string): Buffer | undefined {
  const family = isIP(text)
  if (family === 4) return Buffer.from(text.split('.').map(Number))
  if (family !== 6 || text.includes('%')) return undefined
  const [head = '', tail] = text.split('::')
  const left = groups(head)
  const right = tail === undefined ? [] : groups(tail)
  const bytes = Buffer.alloc(16)
  bytes.set(left, 0)
  bytes.set(right, 16 - right.length)
  return MAPPED_PREFIX.equals(bytes.subarray(0, 12)) ? bytes.subarray(12) : bytes
}

/**
 * Whether the kernel's rules take it for one of these canonical addresses: itself, or an IPv4 address in the last 32
 * bits of an IPv6 one (NAT64; see TO_PROVIDERS of nftables-text.ts).
 */
export function isAmong(known: ReadonlySet<string>, address: string): boolean {
  if (known.has(address)) return true
  const bytes = address.includes(':') ? addressBytes(address) : undefined
  return bytes !== undefined && known.has(bytes.subarray(-4).join('.'))
}

/** Text of 4 or 16 network-order bytes, canonical; IPv4-mapped bytes give the IPv4 address. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const words = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  )
  return canonicalAddress(words.join(':'))?.address ?? '::'
}

/** Bytes of colon-separated groups, of which the last may be a dotted quad. */
function groups(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number)
    const word = Number.parseInt(group, 16)
    return [word >> 8, word & 0xff]
  })
}
