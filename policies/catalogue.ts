/**
 * The catalogue of LLM providers: which names are governed. A catalogue is plain data and goes to other
 * processes as it is; its compiled matcher is made once in each, on first use.
 */
import { CatalogueSchema, type Provider, providersOf } from './catalogue-schema.ts'
import { freeze } from './frozen.ts'
import { exampleLabel, matchesGlob, parseGlob } from './host-glob.ts'
import { compileHosts } from './host-matcher.ts'
import { onceEach } from './once-each.ts'
import { PolicyError } from './policy-error.ts'
import { readText } from './read-text.ts'
import { parseYaml } from './yaml-document.ts'

export interface Catalogue {
  readonly providers: readonly Provider[]
}

/** @throws PolicyError, FILE_UNREADABLE also where there is no such file */
export function loadCatalogue(file: string): Catalogue {
  const text = readText(file)
  if (text === undefined) {
    throw new PolicyError(
      'FILE_UNREADABLE',
      `${file} does not exist`,
      `Restore ${file} from the installation.`,
    )
  }
  return freeze({ providers: providersOf(parseYaml(file, text, CatalogueSchema)) })
}

const matcherOf = onceEach(({ providers }: Catalogue) =>
  compileHosts(providers.flatMap((provider) => provider.hosts.map((host) => [host, provider] as const))),
)

/**
 * The provider that governs a name from the wire, in any case, with or without a trailing dot; undefined for
 * other names and for what is no host name.
 */
export const matchHost = (catalogue: Catalogue, name: string): Provider | undefined =>
  matcherOf(catalogue).find(name)

const globs = onceEach((catalogue: Catalogue) =>
  catalogue.providers
    .flatMap(({ hosts }) => hosts)
    .map((host) => parseGlob(host))
    .filter((glob) => typeof glob !== 'string'),
)

/** The names that can be resolved ahead of time: those without a wildcard, sorted. */
export function literalNames(catalogue: Catalogue): string[] {
  return globs(catalogue)
    .filter(({ literal }) => literal)
    .map(({ source }) => source)
    .sort()
}

/**
 * Does a certificate for this name hold a governed one too? `*.example.com` holds every name one label longer
 * (RFC 9525 section 6.3).
 * @param held a dNSName of a certificate
 */
export function holdsGoverned(catalogue: Catalogue, held: string): boolean {
  if (!held.startsWith('*.')) return matchHost(catalogue, held) !== undefined
  const domain = held.slice(2).toLowerCase()
  return globs(catalogue).some((glob) => matchesGlob(glob, [exampleLabel(glob), ...domain.split('.')]))
}

/**
 * The domains that the gateway's CA may sign for (permittedSubtrees of RFC 5280 section 4.2.1.10, where a
 * domain takes in all below it): the fewest that hold every governed name, sorted. A pattern can be held only
 * by the domain that it ends in: `bedrock-runtime.*.amazonaws.com` needs `amazonaws.com`.
 */
export function permittedDomains(catalogue: Catalogue): string[] {
  const domains = new Set(globs(catalogue).map(({ suffix }) => suffix))
  const held = (domain: string): boolean => {
    for (let dot = domain.indexOf('.'); dot !== -1; dot = domain.indexOf('.', dot + 1)) {
      if (domains.has(domain.slice(dot + 1))) return true
    }
    return false
  }
  return [...domains].filter((domain) => !held(domain)).sort()
}
