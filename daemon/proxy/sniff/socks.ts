/**
 * Reads what a client says to a SOCKS proxy: version 4 and 4a (OpenSSH's and Lee's memos), version 5 (RFC 1928)
 * with its sign-in by name and password (RFC 1929).
 *
 * Threat model: the client is who hides; it may put everything into one packet or each byte into its own. What
 * can't be read is `other` and is decided on as that.
 */
import { normalName } from '../http/authority.ts'

/** Where a tunnel is to go, as its client says. */
export interface TunnelTarget {
  /** A name in lower case, or an address. */
  readonly host: string
  readonly port: number
}

const V4 = 4
const V5 = 5
const CONNECT = 1
const BIND = 2
const LAST_COMMAND = 3
/** Longest text in SOCKS 4: the field has no length of its own. */
const MAX_TEXT = 255
/** RFC 1929's own version number. */
const SIGN_IN = 1
const ATYP = { ipv4: 1, name: 3, ipv6: 4 } as const

/** Asked for in place of a connection. */
export type Blind = 'BIND' | 'UDP ASSOCIATE'

export type SocksStart =
  /** Version 4: all in one message. */
  | { readonly version: 4; readonly target: TunnelTarget; readonly blind?: Blind; readonly end: number }
  /** Version 5: the greeting; sign-in and request follow. */
  | { readonly version: 5; readonly end: number }

/** The first message of a SOCKS client. */
export function readSocksStart(bytes: Buffer): SocksStart | 'more' | 'not-socks' {
  if (bytes[0] === V4) return readV4(bytes)
  if (bytes[0] !== V5) return 'not-socks'
  const methods = bytes[1]
  if (methods === undefined) return 'more'
  if (methods === 0) return 'not-socks'
  if (bytes.length < 2 + methods) return 'more'
  const next = bytes[2 + methods]
  // The client waits for the answer here; one that doesn't goes on with its sign-in or its request.
  if (next !== undefined && next !== V5 && next !== SIGN_IN) return 'not-socks'
  return { version: 5, end: 2 + methods }
}

function readV4(bytes: Buffer): SocksStart | 'more' | 'not-socks' {
  const command = bytes[1]
  if (command === undefined) return 'more'
  if (command !== CONNECT && command !== BIND) return 'not-socks'
  if (bytes.length < 9) return 'more'
  const user = textAt(bytes, 8)
  if (typeof user === 'string') return user
  const address = bytes.subarray(4, 8)
  const port = bytes.readUInt16BE(2)
  // 0.0.0.x says that a name follows (4a).
  if (address.readUInt32BE(0) >>> 8 !== 0 || address[3] === 0) {
    return done(4, command, { host: address.join('.'), port }, user.end)
  }
  const name = textAt(bytes, user.end)
  if (typeof name === 'string') return name
  return done(4, command, { host: normalName(name.text), port }, name.end)
}

const done = (version: 4, command: number, target: TunnelTarget, end: number): SocksStart =>
  command === CONNECT ? { version, target, end } : { version, target, blind: 'BIND', end }

function textAt(bytes: Buffer, start: number): { text: string; end: number } | 'more' | 'not-socks' {
  const end = bytes.indexOf(0, start)
  if (end < 0) return bytes.length - start > MAX_TEXT ? 'not-socks' : 'more'
  if (end - start > MAX_TEXT) return 'not-socks'
  return { text: bytes.toString('latin1', start, end), end: end + 1 }
}

export type SocksStep =
  /** A sign-in. */
  | { readonly kind: 'sign-in'; readonly end: number }
  | { readonly kind: 'request'; readonly target: TunnelTarget; readonly blind?: Blind; readonly end: number }

/** What follows a greeting of version 5. */
export function readSocksStep(bytes: Buffer): SocksStep | 'more' | 'not-socks' {
  const first = bytes[0]
  if (first === undefined) return 'more'
  if (first === SIGN_IN) return readSignIn(bytes)
  return first === V5 ? readRequest(bytes) : 'not-socks'
}

function readSignIn(bytes: Buffer): SocksStep | 'more' {
  const user = bytes[1]
  const password = user === undefined ? undefined : bytes[2 + user]
  if (user === undefined || password === undefined) return 'more'
  const end = 3 + user + password
  return bytes.length < end ? 'more' : { kind: 'sign-in', end }
}

function readRequest(bytes: Buffer): SocksStep | 'more' | 'not-socks' {
  const [, command, , type, length] = bytes
  if (command === 0 || (command !== undefined && command > LAST_COMMAND)) return 'not-socks'
  if (command === undefined || type === undefined || length === undefined) return 'more'
  const start = type === ATYP.name ? 5 : 4
  const size = type === ATYP.name ? length : type === ATYP.ipv4 ? 4 : type === ATYP.ipv6 ? 16 : undefined
  if (size === undefined) return 'not-socks'
  const end = start + size + 2
  if (bytes.length < end) return 'more'
  const host = hostText(bytes.subarray(start, start + size), type)
  const request = { kind: 'request', target: { host, port: bytes.readUInt16BE(end - 2) }, end } as const
  return command === CONNECT ? request : { ...request, blind: command === BIND ? 'BIND' : 'UDP ASSOCIATE' }
}

function hostText(bytes: Buffer, type: number): string {
  if (type === ATYP.name) return normalName(bytes.toString('latin1'))
  if (type === ATYP.ipv4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16))
  return groups.join(':')
}
