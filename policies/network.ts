/** Addresses and networks as a person writes them: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`. */
import { BlockList, isIP, SocketAddress } from 'node:net'

export interface Network {
  readonly family: 'ipv4' | 'ipv6'
  /** Canonical text (RFC 5952), without bits beyond the prefix. */
  readonly address: string
  readonly prefix: number
}

const MAPPED = /^::ffff:\d+\.\d+\.\d+\.\d+$/

/** Reads a network; a string is what is wrong with it and what to do about it. */
export function parseNetwork(source: string): Network | string {
  const [, text, bits] = /^([0-9a-fA-F:.]{2,45})(?:\/(\d{1,3}))?$/.exec(source) ?? []
  const version = text === undefined ? 0 : isIP(text)
  if (text === undefined || version === 0) {
    return 'this is neither an address nor a network like `10.0.0.0/8` or `2001:db8::/32`'
  }
  const family = version === 4 ? 'ipv4' : 'ipv6'
  const longest = version === 4 ? 32 : 128
  const prefix = bits === undefined ? longest : Number(bits)
  if (prefix > longest)
    return `\`/${prefix}\` is too long: an IPv${version} network has ${longest} bits at most`
  const address = new SocketAddress({ address: text, family }).address
  if (MAPPED.test(address)) return `write \`${address.slice('::ffff:'.length)}\`, as IPv4, in place of this`
  const start = firstAddress(address, version === 4, prefix)
  if (start === address) return { family, address, prefix }
  return `\`${source}\` names a host within a network: write \`${start}/${prefix}\``
}

/** The address with all bits beyond the prefix cleared. */
function firstAddress(address: string, v4: boolean, prefix: number): string {
  const width = v4 ? 8 : 16
  const parts = v4 ? address.split('.').map(Number) : groups(address)
  const kept = parts.map((part, i) => {
    const bits = Math.min(Math.max(prefix - i * width, 0), width)
    return part & ~((1 << (width - bits)) - 1)
  })
  if (v4) return kept.join('.')
  const text = kept.map((part) => part.toString(16)).join(':')
  return new SocketAddress({ address: text, family: 'ipv6' }).address
}

/** The eight groups of an IPv6 address whose last two may be a dotted quad. */
function groups(address: string): number[] {
  const [head = '', tail] = address.split('::')
  const read = (side: string) =>
    (side === '' ? [] : side.split(':')).flatMap((group) => {
      if (!group.includes('.')) return [Number.parseInt(group, 16)]
      const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
      return [(a << 8) | b, (c << 8) | d]
    })
  const [left, right] = [read(head), read(tail ?? '')]
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
}

export interface NetworkMatcher {
  /** @param address textual, in any form; what is no address is in no network */
  has(address: string): boolean
}

/** Compiles networks. @param sources valid ones; invalid ones match nothing */
export function compileNetworks(sources: readonly string[]): NetworkMatcher {
  // Two lists: a rule for ::ffff:0:0/96 would match every IPv4 address that one list is asked about.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  let empty = true
  for (const source of sources) {
    const network = parseNetwork(source)
    if (typeof network === 'string') continue
    lists[network.family].addSubnet(network.address, network.prefix, network.family)
    empty = false
  }
  if (empty) return { has: () => false }
  return {
    has(text) {
      const address = MAPPED.test(text) ? text.slice('::ffff:'.length) : text
      const version = isIP(address)
      if (version === 0 || address.includes('%')) return false
      const family = version === 4 ? 'ipv4' : 'ipv6'
      return lists[family].check(address, family)
    },
  }
}
