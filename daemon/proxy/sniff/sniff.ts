/** What the first bytes of a connection are: TLS with its names, plain HTTP with its hosts, or something else. */
import { readClientHello } from '../../wire/client-hello.ts'
import { normalName } from '../http/authority.ts'
import { readH2Start } from './h2-start.ts'
import { H2_PREFACE_LINE, readHttpStart } from './http-start.ts'
import { type Blind, readSocksStart, type TunnelTarget } from './socks.ts'

/** Most that is kept of a connection before it is decided on. A ClientHello with post-quantum shares has 2 KiB. */
export const SNIFF_LIMIT = 16 * 1024

export interface Sniffed {
  readonly protocol: 'tls' | 'http' | 'h2-preface' | 'socks' | 'other'
  /** Names the connection gives, first the one it would be routed by. More than one on HTTP, or `doubtful`. */
  readonly names: readonly string[]
  /** `names` are several where one may be given: a server may take none of them. */
  readonly doubtful?: true
  /** SNI as sent. */
  readonly sni?: string
  readonly alpn: readonly string[]
  readonly ech: boolean
  /** A ClientHello of which nothing more was waited for: no client's is so long. */
  readonly oversized?: true
  /** HTTP/2 whose first request did not come. */
  readonly unfinished?: true
  /** Of plain HTTP. */
  readonly request?: { readonly method: string; readonly target: string }
  /** Where a CONNECT or a SOCKS request wants to be taken. */
  readonly tunnel?: TunnelTarget
  /** It asks SOCKS for something else than a connection. */
  readonly blind?: Blind
  /** Index of the request line of plain HTTP. */
  readonly start?: number
  /** Index after the HTTP head or SOCKS message; undefined where that did not come to its end. */
  readonly end?: number
}

const OTHER: Sniffed = { protocol: 'other', names: [], alpn: [], ech: false }
const H2_PREFACE: Sniffed = { ...OTHER, protocol: 'h2-preface' }
/** As much of the preface as nothing else begins with. */
const H2_PREFACE_BYTES = Buffer.from('PRI * HTTP/2')

/** HTTP/2 without TLS, whose names may come only after the server has spoken. */
export const isH2Start = (bytes: Buffer): boolean =>
  H2_PREFACE_LINE.test(bytes.toString('latin1', 0, H2_PREFACE_BYTES.length))

/**
 * Pure; call again with more bytes after 'more'. Never says 'more' from {@link SNIFF_LIMIT} bytes on.
 * @param ended no more bytes will come
 */
export function sniff(bytes: Buffer, ended = false): Sniffed | 'more' {
  if (bytes.length === 0) return 'more'
  const last = ended || bytes.length >= SNIFF_LIMIT
  const whole = readClientHello(bytes)
  if (whole === 'more' && !last) return 'more'
  const hello = whole === 'more' ? readClientHello(bytes, true) : whole
  if (typeof hello === 'object') {
    const { name, sent, several, alpn, ech } = hello
    const names = (name === undefined ? (several ?? []) : [name]).map(normalName)
    const sni = sent === undefined ? {} : { sni: sent }
    const seen = {
      protocol: 'tls',
      names,
      alpn,
      ech,
      ...sni,
      ...(several ? { doubtful: true as const } : {}),
    } as const
    return whole === 'more' && !ended ? { ...seen, oversized: true } : seen
  }
  const socks = readSocksStart(bytes)
  if (socks !== 'not-socks') return socks === 'more' ? unfinished(last) : socksSeen(socks)
  return sniffHttp(bytes, last)
}

const unfinished = (last: boolean) => (last ? OTHER : 'more')

function socksSeen(socks: Exclude<ReturnType<typeof readSocksStart>, string>): Sniffed {
  const seen = { ...OTHER, protocol: 'socks', end: socks.end } as const
  if (socks.version === 5) return seen
  return { ...seen, tunnel: socks.target, ...(socks.blind ? { blind: socks.blind } : {}) }
}

function sniffHttp(bytes: Buffer, last: boolean): Sniffed | 'more' {
  if (isH2Start(bytes)) {
    const names = readH2Start(bytes)
    if (names !== 'more') return { ...H2_PREFACE, names }
    return last ? { ...H2_PREFACE, unfinished: true } : 'more'
  }
  const http = readHttpStart(bytes, last)
  if (http === 'more') return 'more'
  if (http === 'not-http') return OTHER
  const { method, target, names, start, end } = http
  const tunnel = tunnelOf({ method, target })
  return {
    protocol: 'http',
    names,
    alpn: [],
    ech: false,
    request: { method, target },
    start,
    ...(tunnel ? { tunnel } : {}),
    ...(end === undefined ? {} : { end }),
  }
}

/**
 * Where a CONNECT wants to be taken; undefined for other requests. The authority form (RFC 9112 §3.2.3); a careless
 * proxy takes a URL as well, or leaves the port to be guessed.
 */
export function tunnelOf({ method, target }: NonNullable<Sniffed['request']>): TunnelTarget | undefined {
  if (!/^connect$/i.test(method)) return undefined
  const authority = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(?:[^/?#]*@)?([^/?#]*)/i.exec(target)?.[1] ?? ''
  const [, host, port] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(authority) ?? []
  const bare = host?.startsWith('[') ? host.slice(1, -1) : host
  return { host: normalName(bare ?? authority), port: port === undefined ? 443 : Number(port) % 65_536 }
}
