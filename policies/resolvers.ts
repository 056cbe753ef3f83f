/**
 * The known services of DNS over HTTPS and TLS: other ways to a name than the machine's own resolver. A list is
 * plain data and goes to other processes as it is; its compiled matcher is made once in each, on first use.
 */
import { type Frozen, freeze } from './frozen.ts'
import { compileHosts } from './host-matcher.ts'
import { compileNetworks } from './network.ts'
import { onceEach } from './once-each.ts'
import { PolicyError } from './policy-error.ts'
import { readText } from './read-text.ts'
import { ResolversSchema } from './resolvers-schema.ts'
import { parseYaml } from './yaml-document.ts'

export type Resolvers = Frozen<{
  services: {
    id: string /** Host patterns. */
    names: string[] /** Addresses and networks. */
    addresses: string[]
  }[]
}>

/** @throws PolicyError, FILE_UNREADABLE also where there is no such file */
export function loadResolvers(file: string): Resolvers {
  const text = readText(file)
  if (text === undefined) {
    throw new PolicyError(
      'FILE_UNREADABLE',
      `${file} does not exist`,
      `Restore ${file} from the installation.`,
    )
  }
  const { services } = parseYaml(file, text, ResolversSchema)
  return freeze({ services: Object.entries(services).map(([id, service]) => ({ id, ...service })) })
}

const compiled = onceEach(({ services }: Resolvers) => ({
  names: compileHosts(services.flatMap(({ id, names }) => names.map((name) => [name, id] as const))),
  addresses: compileNetworks(services.flatMap(({ addresses }) => addresses)),
}))

/** Is this name from the wire, in any case, that of a known service? */
export const isResolverName = (resolvers: Resolvers, name: string): boolean =>
  compiled(resolvers).names.find(name) !== undefined

export const isResolverAddress = (resolvers: Resolvers, address: string): boolean =>
  compiled(resolvers).addresses.has(address)
