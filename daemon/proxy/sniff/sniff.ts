/** What the first bytes of a connection are: TLS with its names, plain HTTP with its hosts, or something else. */
import { normalName } from '../http/authority.ts'
import { readClientHello } from '../../wire/client-hello.ts'
import { readHttpStart } from './http-start.ts'

/** Most that is kept of a connection before it is decided on. A ClientHello with post-quantum shares has 2 KiB. */
export const SNIFF_LIMIT = 16 * 1024

export interface Sniffed {
  readonly protocol: 'tls' | 'http' | 'other'
  /** Names the connection gives, first the one it would be routed by. More than one only on plain HTTP. */
  readonly names: readonly string[]
  readonly alpn: readonly string[]
  readonly ech: boolean
}

const OTHER: Sniffed = { protocol: 'other', names: [], alpn: [], ech: false }

/**
 * Pure; call again with more bytes after 'more'. Never says 'more' from {@link SNIFF_LIMIT} bytes on.
 * @param ended no more bytes will come
 */
export function sniff(bytes: Buffer, ended = false): Sniffed | 'more' {
  if (bytes.length === 0) return 'more'
  const last = ended || bytes.length >= SNIFF_LIMIT
  const hello = readClientHello(bytes, last)
  if (hello === 'more') return 'more'
  if (hello !== 'not-tls') {
    const names = hello.name === undefined ? [] : [normalName(hello.name)]
    return { protocol: 'tls', names, alpn: hello.alpn, ech: hello.ech }
  }
  const http = readHttpStart(bytes, last)
  if (http === 'more') return 'more'
  if (http === 'not-http') return OTHER
  return { protocol: 'http', names: http.names, alpn: [], ech: false }
}
