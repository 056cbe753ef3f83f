/**
 * Host names as they may stand in a dNSName. The names come from the network (a ClientHello), so the
 * grammar is the narrow one: letters, digits and hyphens (RFC 1123 §2.1), at least two labels, no
 * wildcard, no address, no trailing dot (RFC 6066 §3).
 */
import { CaError } from './ca-error.ts'

/** RFC 1035 §2.3.4: a name is at most 255 octets on the wire, which is 253 characters as text. */
const MAX_NAME_LENGTH = 253
/** RFC 1035 §2.3.4 (63 octets) and RFC 1123 §2.1 (may begin with a digit). */
const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

/**
 * The name in lower case.
 * @throws CaError `name-malformed` for anything that isn't a fully qualified DNS host name
 */
export function parseHostName(name: string): string {
  if (typeof name !== 'string' || name.length > MAX_NAME_LENGTH) throw malformed(name)
  const labels = name.split('.')
  if (labels.length < 2 || !labels.every((label) => LABEL.test(label))) throw malformed(name)
  // A last label of digits only, or like 0x7f, makes the whole an IPv4 address (WHATWG URL §3.5, "ends in a number").
  if (/^(?:[0-9]+|0[Xx][0-9A-Fa-f]*)$/.test(labels.at(-1)!)) throw malformed(name)
  // Not earlier: toLowerCase() makes ASCII letters of some others (U+212A, the Kelvin sign).
  return name.toLowerCase()
}

/** RFC 5280 §4.2.1.10: a dNSName constraint covers itself and everything with labels added to its left. */
export function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`)
}

function malformed(name: unknown): CaError {
  // JSON quoting keeps control characters of a hostile name out of logs and terminals.
  const shown = typeof name === 'string' ? JSON.stringify(name.slice(0, 80)) : typeof name
  return new CaError(
    'name-malformed',
    `${shown} is not a DNS host name`,
    'Give a fully qualified name of letters, digits and hyphens, without wildcard, port or trailing dot.',
  )
}
