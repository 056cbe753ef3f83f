import { type HostGlob, matchesGlob, parseGlob } from './host-glob.ts'
import { normaliseName } from './host-name.ts'

/** Names to owners: literal names by a hash lookup, patterns by the domain that they end in. */
export interface HostMatcher<Owner> {
  find(name: string): Owner | undefined
}

interface Entry<Owner> {
  readonly glob: HostGlob
  readonly owner: Owner
}

/**
 * Compiles patterns. Where several match, the narrowest owns the name: a literal one before any pattern, then
 * the one with more literal characters.
 * @param hosts valid patterns; invalid ones match nothing
 */
export function compileHosts<Owner>(hosts: Iterable<readonly [string, Owner]>): HostMatcher<Owner> {
  const literals = new Map<string, Owner>()
  const bySuffix = new Map<string, Entry<Owner>[]>()
  for (const [source, owner] of hosts) {
    const glob = parseGlob(source, 'any')
    if (typeof glob === 'string') continue
    if (glob.literal) literals.set(source, owner)
    else bySuffix.set(glob.suffix, [...(bySuffix.get(glob.suffix) ?? []), { glob, owner }])
  }
  const weight = ({ glob }: Entry<Owner>) => glob.source.replace(/[*#]/g, '').length
  for (const entries of bySuffix.values()) entries.sort((a, b) => weight(b) - weight(a))

  return {
    find(raw) {
      const name = normaliseName(raw)
      if (name === undefined) return undefined
      const exact = literals.get(name)
      if (exact !== undefined) return exact
      let labels: string[] | undefined
      // Longest suffix first; the name itself can't be one, since a pattern has a label more at least.
      for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
        const entries = bySuffix.get(name.slice(dot + 1))
        if (entries === undefined) continue
        labels ??= name.split('.')
        for (const { glob, owner } of entries) if (matchesGlob(glob, labels)) return owner
      }
      return undefined
    },
  }
}
