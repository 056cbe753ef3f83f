/**
 * Tells plain HTTP by its request line and finds the names that it speaks to.
 *
 * Threat model: lenient on purpose where the strict parser (http/head.ts) is not: blanks before the request,
 * folded lines, bare line feeds and odd spacing are read here as a careless server would read them, so that such
 * a request is seen to be governed, intercepted, and refused there.
 */
import { hostOf } from '../http/authority.ts'

export interface HttpStart {
  /** As sent. */
  readonly method: string
  readonly target: string
  /** The hosts named by Host fields and by the target, without duplicates. */
  readonly names: readonly string[]
  /** Index of the request line. */
  readonly start: number
  /** Index after the head's empty line; undefined where it has not come. */
  readonly end: number | undefined
}

const LONGEST_METHOD = 20
/** No name is longer (RFC 1035 §2.3.4). */
const LONGEST_NAME = 255
/** What RFC 9112 §3 lets a lenient recipient take for a space. */
const BLANK = '[ \\t\\v\\f\\r]+'
const REQUEST_LINE = new RegExp(`^([A-Za-z0-9_-]+)${BLANK}([^\\s]+)${BLANK}HTTP/\\d+(?:\\.\\d+)?$`, 'i')
/** Some proxies take a CONNECT of HTTP/0.9's form. */
const BARE_CONNECT = new RegExp(`^(CONNECT)${BLANK}([^\\s]+:\\d+)$`, 'i')
/** RFC 9113 §3.4: the preface is made to be told from any request. */
export const H2_PREFACE_LINE = /^PRI \* HTTP\/2/

const isBlank = (byte: number | undefined) => byte === CR || byte === LF || byte === 0x20 || byte === 0x09
const CR = 0x0d
const LF = 0x0a

/** @param last true if no more will be waited for: the lines received so far count */
export function readHttpStart(bytes: Buffer, last = false): HttpStart | 'more' | 'not-http' {
  let start = 0
  while (isBlank(bytes[start])) start++
  const method = methodLength(bytes, start)
  if (method === 'not-http') return method
  const lineEnd = bytes.indexOf(LF, start)
  if (lineEnd < 0) return last ? 'not-http' : 'more'
  const line = requestLine(bytes.toString('latin1', start, lineEnd))
  if (!line) return 'not-http'
  const end = endOfHead(bytes, lineEnd)
  if (end === undefined && !last) return 'more'
  return { ...line, names: namesOf(bytes.toString('latin1', lineEnd + 1, end), line.target), start, end }
}

/** The request that a line begins, as a careless server reads it. */
export function requestLine(text: string): { readonly method: string; readonly target: string } | undefined {
  const line = text.trimEnd()
  const found = REQUEST_LINE.exec(line) ?? BARE_CONNECT.exec(line)
  if (!found || H2_PREFACE_LINE.test(line)) return undefined
  return { method: found[1] as string, target: found[2] as string }
}

function methodLength(bytes: Buffer, start: number): 'ok' | 'not-http' {
  for (let i = 0; i <= LONGEST_METHOD; i++) {
    const byte = bytes[start + i]
    if (byte === undefined) return 'ok'
    if (byte === 0x20 || byte === 0x09) return i > 0 ? 'ok' : 'not-http'
    const letter = byte | 0x20
    const digit = i > 0 && byte >= 0x30 && byte <= 0x39
    if (!(digit || (letter >= 0x61 && letter <= 0x7a) || byte === 0x2d || byte === 0x5f)) return 'not-http'
  }
  return 'not-http'
}

/** Index after the first empty line. @param lineEnd index of the request line's LF */
function endOfHead(bytes: Buffer, lineEnd: number): number | undefined {
  for (let at = lineEnd; at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at + 1] === LF) return at + 2
    if (bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3
  }
  return undefined
}

function namesOf(fields: string, target: string): string[] {
  const names = new Set<string>()
  for (const line of fields.replace(/(\r\n|\r|\n)[ \t]+/g, ' ').split(/\r\n|\r|\n/)) {
    if (line === '') break
    for (const name of hostsOfField(line)) names.add(name)
  }
  const named = hostOfTarget(target)
  if (named !== undefined) names.add(named)
  return [...names]
}

/** The hosts that a header line names; none where it is no Host. */
export function hostsOfField(line: string): string[] {
  const value = /^host[ \t]*:(.*)$/i.exec(line)?.[1]
  return value === undefined ? [] : value.split(/[,\s]+/).flatMap((one) => hostOfAuthority(one) ?? [])
}

/** The host that a request target names, in absolute or authority form. */
export function hostOfTarget(target: string): string | undefined {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(target)?.[1]
  if (absolute !== undefined) return hostOfAuthority(absolute)
  return target.startsWith('/') || target === '*' ? undefined : hostOfAuthority(target)
}

/** What follows a host is passed over: `api.example:x` is `api.example` to some servers. */
export function hostOfAuthority(authority: string): string | undefined {
  const text = authority.slice(authority.lastIndexOf('@') + 1).trim()
  const host = hostOf(text) ?? hostOf(/^[^\s:/?#\\,[\]]+/.exec(text)?.[0] ?? '')
  return host !== undefined && host.length > LONGEST_NAME ? undefined : host
}
