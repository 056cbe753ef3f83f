/** Paths of requests and patterns of them: which requests of a governed host are LLM traffic. */
import type { Provider } from './catalogue-schema.ts'

/**
 * Is a request to `target` (path and query as sent) one that the provider is governed for?
 *
 * Threat model: the agent writes the path, the provider reads it. A path is taken as sent and with its escapes
 * and dot segments resolved (RFC 3986 section 6.2.2), in any case, and either match counts; one that can't be
 * decoded counts too. In doubt, a request is recorded.
 */
export function governsTarget(provider: Pick<Provider, 'paths'>, target: string): boolean {
  if (provider.paths === undefined) return true
  const forms = pathForms(target)
  return !forms.sound || provider.paths.some((pattern) => matchesPath(pattern, forms))
}

/** The ways in which a server may read a target's path: split at `/`, lower case. */
export interface PathForms {
  readonly sent: readonly string[]
  readonly resolved: readonly string[]
  /** False where escapes can't be decoded; then `resolved` has them as they are. */
  readonly sound: boolean
}

/** @param target in origin form or absolute form (RFC 9112 section 3.2) */
export function pathForms(target: string): PathForms {
  const origin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(target)?.[0] ?? ''
  const path = target.slice(origin.length).split(/[?#]/, 1)[0]!
  const { text, sound } = decode(path)
  const segments: string[] = []
  for (const segment of text.split(/[/\\]+/)) {
    if (segment === '..') segments.pop()
    else if (segment !== '.' && segment !== '') segments.push(segment)
  }
  return {
    sent: path.toLowerCase().split('/'),
    resolved: ['', ...segments.map((s) => s.toLowerCase())],
    sound,
  }
}

function decode(path: string): { text: string; sound: boolean } {
  try {
    return { text: decodeURIComponent(path), sound: true }
  } catch {
    const byte = (_: string, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))
    return { text: path.replace(/%([0-9a-f]{2})/gi, byte), sound: false }
  }
}

/**
 * `*` is one segment, or one part of one; as the last segment, all that follows, of one character at least. `**`
 * at the beginning is any number of segments.
 */
export function matchesPath(pattern: string, { sent, resolved }: PathForms): boolean {
  const wanted = segmentsOf(pattern)
  return matchesSegments(wanted, sent) || matchesSegments(wanted, resolved)
}

/** Patterns come from files and from this program, so there are few. */
const split = new Map<string, readonly string[]>()

function segmentsOf(pattern: string): readonly string[] {
  const known = split.get(pattern)
  if (known) return known
  const made = pattern.toLowerCase().split('/')
  split.set(pattern, made)
  return made
}

function matchesSegments(wanted: readonly string[], given: readonly string[]): boolean {
  const open = wanted.at(-1) === '*'
  const floating = wanted[1] === '**'
  const tail = floating ? wanted.slice(2) : wanted.slice(1)
  const spare = given.length - 1 - tail.length
  if (spare < 0) return false
  const fits = (from: number) => tail.every((segment, i) => matchesSegment(segment, given[from + i] ?? ''))
  if (!floating) return (open || spare === 0) && fits(1)
  if (!open) return fits(1 + spare)
  for (let from = 1; from <= 1 + spare; from++) if (fits(from)) return true
  return false
}

function matchesSegment(pattern: string, segment: string): boolean {
  const star = pattern.indexOf('*')
  if (star === -1) return segment === pattern
  const [start, end] = [pattern.slice(0, star), pattern.slice(star + 1)]
  return segment.length > start.length + end.length && segment.startsWith(start) && segment.endsWith(end)
}
