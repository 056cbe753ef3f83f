/** struct sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)) as bytes: the family is native, the rest network order. */
import { endianness } from 'node:os'
import { FirewallError } from './errors.ts'
import type { Endpoint } from './ip-address.ts'
import { addressBytes, addressText } from './ip-address.ts'
import { AF_INET, AF_INET6 } from './libc.ts'

export const SOCKADDR_IN_SIZE = 16
export const SOCKADDR_IN6_SIZE = 28

const readFamily = (bytes: Buffer) => (endianness() === 'LE' ? bytes.readUInt16LE(0) : bytes.readUInt16BE(0))

/** @throws FirewallError `invalid-enforcement` where the endpoint has no plain address or no possible port */
export function formatSockaddr({ address, port }: Endpoint): { family: 4 | 6; bytes: Buffer } {
  const host = addressBytes(address)
  if (!host || !Number.isInteger(port) || port < 0 || port > 65535) {
    throw new FirewallError(
      'invalid-enforcement',
      `no such endpoint: ${address} port ${port}`,
      'give an IP address and a port',
    )
  }
  const family = host.length === 4 ? 4 : 6
  const bytes = Buffer.alloc(family === 4 ? SOCKADDR_IN_SIZE : SOCKADDR_IN6_SIZE)
  bytes.set(new Uint8Array(Uint16Array.of(family === 4 ? AF_INET : AF_INET6).buffer), 0)
  bytes.writeUInt16BE(port, 2)
  host.copy(bytes, family === 4 ? 4 : 8)
  return { family, bytes }
}

/** `undefined` for another family or too few bytes. */
export function parseSockaddr(bytes: Buffer): Endpoint | undefined {
  if (bytes.length < SOCKADDR_IN_SIZE) return undefined
  const family = readFamily(bytes)
  if (family === AF_INET) return { address: addressText(bytes.subarray(4, 8)), port: bytes.readUInt16BE(2) }
  if (family !== AF_INET6 || bytes.length < SOCKADDR_IN6_SIZE) return undefined
  return { address: addressText(bytes.subarray(8, 24)), port: bytes.readUInt16BE(2) }
}
