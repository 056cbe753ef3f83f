import { isIP, SocketAddress } from 'node:net'

const DNS_PORT = 53

/** An address in its canonical text, and a port. */
export interface Server {
  readonly address: string
  readonly port: number
}

/** Reads an address with its port: `127.0.0.1:8080` or `[::]:8080`; undefined for anything else. */
export function parseListen(text: string): Server | undefined {
  return /^(?:\[[^\]]+\]|[^[\]:]+):\d{1,5}$/.test(text) ? parseServer(text) : undefined
}

/** Reads `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`; undefined for anything else. */
export function parseServer(text: string): Server | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^[\]:]*))(?::(\d{1,5}))?$/.exec(text) ?? []
  const address = bracketed ?? plain ?? text
  const port = digits === undefined ? DNS_PORT : Number(digits)
  const version = isIP(address)
  if (version === 0 || address.includes('%') || (bracketed !== undefined && version !== 6)) return undefined
  if (port < 1 || port > 65535) return undefined
  const family = version === 4 ? 'ipv4' : 'ipv6'
  return { address: new SocketAddress({ address, family }).address, port }
}
