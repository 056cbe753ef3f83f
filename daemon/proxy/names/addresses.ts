/** IP addresses as values: one spelling each, and which of them a provider can never have. */
import { BlockList, isIP, SocketAddress } from 'node:net'

/**
 * Never dialled for a name out of DNS, whoever answers it (RFC 6890): this host, this link, many hosts, none;
 * and with link-local the metadata services of clouds (169.254.169.254; AWS fd00:ec2::254, Alibaba 100.100.100.200).
 */
const FORBIDDEN: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['100.100.100.200', 32],
  ['224.0.0.0', 3],
  ['::', 128],
  ['::1', 128],
  ['fe80::', 10],
  ['fd00:ec2::254', 128],
  ['ff00::', 8],
]

const forbidden = new BlockList()
for (const [network, prefix] of FORBIDDEN) {
  forbidden.addSubnet(network, prefix, network.includes(':') ? 'ipv6' : 'ipv4')
}

/** Canonical text of an address (RFC 5952), IPv4-mapped IPv6 as IPv4; undefined where it is none. */
export function canonicalAddress(text: string): string | undefined {
  const family = isIP(text)
  if (family === 4) return text
  if (family === 0 || text.includes('%')) return undefined
  const address = new SocketAddress({ address: text, family: 'ipv6' }).address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1]
  return mapped ?? address
}

/** True for an address that may be dialled because DNS says so. @param address canonical */
export function isDialable(address: string): boolean {
  const family = isIP(address)
  return family !== 0 && !forbidden.check(address, family === 4 ? 'ipv4' : 'ipv6')
}
