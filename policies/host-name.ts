import { isIP } from 'node:net'

/** RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters of text. */
const LONGEST_NAME = 253
const LONGEST_LABEL = 63
/** Underscores are no host name's (RFC 1123), but resolvers and wildcard certificates take them. */
const LABEL = /^[a-z0-9_-]+$/

/**
 * A host name from the wire (SNI, Host without its port) in lower case and without a trailing dot; undefined for
 * what is none: an address, an empty or over-long label, over 253 characters, any other character.
 */
export function normaliseName(name: string): string | undefined {
  if (name.length > LONGEST_NAME + 1) return undefined
  const lower = (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase()
  if (lower.length === 0 || lower.length > LONGEST_NAME || isIP(lower) !== 0) return undefined
  for (const label of lower.split('.')) {
    if (label.length > LONGEST_LABEL || !LABEL.test(label)) return undefined
  }
  return lower
}
