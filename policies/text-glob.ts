/**
 * Patterns of names that aren't hosts (models, tools, units, executables): `*` is any characters, also none. Matched
 * without regular expressions; both sides are bounded, so the product of their lengths is.
 */
const LONGEST = 4096

/** @param text longer text matches only `*`, which is fail-safe for a rule that names something */
export function matchesText(pattern: string, text: string): boolean {
  if (pattern === '*') return true
  if (text.length > LONGEST) return false
  const [first = '', ...others] = pattern.split('*')
  if (!text.startsWith(first)) return false
  const last = others.pop()
  if (last === undefined) return text.length === first.length
  let at = first.length
  for (const part of others) {
    const found = text.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return text.length - at >= last.length && text.endsWith(last)
}
