/** Which requests of a governed host are LLM traffic, where the catalogue narrows a provider to some paths. */
import type { Provider } from './catalogue-schema.ts'

/**
 * Is a request to `target` (path and query as sent) one that the provider is governed for?
 *
 * Threat model: the agent writes the path, the provider reads it. A path is taken as sent and with its escapes
 * and dot segments resolved (RFC 3986 section 6.2.2), and either match counts; one that can't be decoded counts
 * too. In doubt, a request is recorded.
 */
export function governsTarget(provider: Pick<Provider, 'paths'>, target: string): boolean {
  if (provider.paths === undefined) return true
  const sent = pathOf(target)
  const resolved = resolve(sent)
  if (resolved === undefined) return true
  return provider.paths.some((pattern) => matchesPath(pattern, sent) || matchesPath(pattern, resolved))
}

/** The path of an origin-form or absolute-form target (RFC 9112 section 3.2). */
function pathOf(target: string): string {
  const origin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(target)?.[0] ?? ''
  return target.slice(origin.length).split(/[?#]/, 1)[0]!
}

function resolve(path: string): string | undefined {
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch {
    return undefined
  }
  const segments: string[] = []
  for (const segment of decoded.split(/[/\\]+/)) {
    if (segment === '..') segments.pop()
    else if (segment !== '.' && segment !== '') segments.push(segment)
  }
  return `/${segments.join('/')}`
}

/** `*` is one segment; at the end, all that follows, of one character at least. */
function matchesPath(pattern: string, path: string): boolean {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (given.length < wanted.length) return false
  const open = wanted.at(-1) === '*'
  if (!open && given.length !== wanted.length) return false
  return wanted.every((segment, i) => (segment === '*' ? given[i] !== '' : given[i] === segment))
}
