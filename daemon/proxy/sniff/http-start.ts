/**
 * Tells plain HTTP/1.x by its request line and finds the names that it speaks to.
 *
 * Threat model: lenient on purpose where the strict parser (http/head.ts) is not: folded lines, bare line feeds
 * and odd spacing are read here as a careless server would read them, so that such a request is seen to be
 * governed, intercepted, and refused there.
 */
import { hostOf } from '../http/authority.ts'

const LONGEST_METHOD = 20
const REQUEST_LINE = /^([A-Z-]+) +(\S+) +HTTP\/1\.\d$/

/**
 * @param last true if no more will be waited for: the lines received so far count
 * @returns the hosts named by Host fields and by the target, without duplicates
 */
export function readHttpStart(
  bytes: Buffer,
  last = false,
): { readonly names: string[] } | 'more' | 'not-http' {
  const method = methodLength(bytes)
  if (method === 'not-http') return method
  const lineEnd = bytes.indexOf(0x0a)
  if (lineEnd < 0) return last ? 'not-http' : 'more'
  const line = REQUEST_LINE.exec(bytes.toString('latin1', 0, lineEnd).trimEnd())
  if (!line) return 'not-http'
  const ended = bytes.includes('\r\n\r\n') || bytes.includes('\n\n') || bytes.includes('\n\r\n')
  if (!ended && !last) return 'more'
  return { names: namesOf(bytes.toString('latin1', lineEnd + 1), line[2] as string) }
}

function methodLength(bytes: Buffer): 'ok' | 'not-http' {
  for (let i = 0; i <= LONGEST_METHOD; i++) {
    const byte = bytes[i]
    if (byte === undefined) return 'ok'
    if (byte === 0x20) return i > 0 ? 'ok' : 'not-http'
    if (!((byte >= 0x41 && byte <= 0x5a) || byte === 0x2d)) return 'not-http'
  }
  return 'not-http'
}

function namesOf(fields: string, target: string): string[] {
  const names = new Set<string>()
  const add = (authority: string) => {
    const name = hostOf(authority.slice(authority.lastIndexOf('@') + 1).trim())
    if (name !== undefined) names.add(name)
  }
  for (const line of fields.replace(/(\r\n|\r|\n)[ \t]+/g, ' ').split(/\r\n|\r|\n/)) {
    if (line === '') break
    const host = /^host[ \t]*:(.*)$/i.exec(line)?.[1]
    if (host !== undefined) for (const one of host.split(',')) add(one)
  }
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(target)?.[1]
  if (absolute !== undefined) add(absolute)
  else if (!target.startsWith('/') && target !== '*') add(target)
  return [...names]
}
