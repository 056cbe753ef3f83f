/** IP addresses as values: one spelling each, and which of them a provider can never have. */
import { BlockList, isIP, SocketAddress } from 'node:net'
import { NEAR4, NEAR6, networkOf } from '../../../firewall/near-addresses.ts'

type Networks = readonly (readonly [string, number])[]

/** No server of anybody else's (RFC 6890): this host, many hosts, none. ::/96 holds ::, ::1 and old forms of IPv4. */
const NOBODY: Networks = [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['224.0.0.0', 3],
  ['::', 96],
  ['ff00::', 8],
]

const listOf = (networks: Networks): BlockList => {
  const list = new BlockList()
  for (const [network, prefix] of networks) {
    list.addSubnet(network, prefix, network.includes(':') ? 'ipv6' : 'ipv4')
  }
  return list
}

const link = listOf([...NEAR4, ...NEAR6].map(networkOf))
const nobody = listOf(NOBODY)

/** RFC 6052: IPv4 addresses behind a translator, and RFC 3056's: IPv4 in the third to sixth byte. */
const EMBEDDED = [/^64:ff9b::(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})$/, /^2002:([0-9a-f]{1,4}):([0-9a-f]{1,4}):/]

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
  return isIP(address) !== 0 && !isOfLink(address) && !forms(address).some((one) => isIn(nobody, one))
}

/**
 * True for an address of this link, or of a metadata service: reached by whom the administrator's rules let, and the
 * gateway's own user is none of them. @param address canonical
 */
export const isOfLink = (address: string): boolean => forms(address).some((one) => isIn(link, one))

const isIn = (list: BlockList, address: string): boolean =>
  isIP(address) !== 0 && list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6')

/** The address, and the one of IPv4 that it stands for. */
function forms(address: string): string[] {
  for (const pattern of EMBEDDED) {
    const found = pattern.exec(address)
    if (!found) continue
    const [high, low] = [found[1] ?? '0', found[2] ?? '0'].map((group) => Number.parseInt(group, 16))
    return [address, [high! >> 8, high! & 255, low! >> 8, low! & 255].join('.')]
  }
  return [address]
}
