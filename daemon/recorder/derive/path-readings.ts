/**
 * A path as servers may read it, each way once. Threat model: the agent writes it, and one that is spelled otherwise
 * (`%63hat`, `//`, `/./`, a slash behind, `%2F`) reaches the same interface.
 */

/** Longer than any provider's paths. What tells them stands at the end. */
const MAX_PATH = 4096

/** @param target as sent  @returns with escapes and dot segments resolved: `%2F` as part of a segment, and as a slash */
export function pathReadings(target: string): string[] {
  const path = target.split(/[?#]/, 1)[0]!.slice(-MAX_PATH)
  return [...new Set([resolved(path, decodedButSlash), resolved(decoded(path), same)])]
}

function resolved(path: string, decode: (segment: string) => string): string {
  const segments: string[] = []
  for (const segment of path.split(/[/\\]+/).map(decode)) {
    if (segment === '..') segments.pop()
    else if (segment !== '.' && segment !== '') segments.push(segment)
  }
  return `/${segments.join('/')}`
}

const same = (segment: string): string => segment
const decodedButSlash = (segment: string): string => decoded(segment.replace(/%(?=2f)/gi, '%25'))

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
