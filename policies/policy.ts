import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import type { z } from 'zod'
import { type Catalogue, loadCatalogue } from './catalogue.ts'
import { type Frozen, freeze } from './frozen.ts'
import { PolicyError } from './policy-error.ts'
import { PolicySchema } from './policy-schema.ts'
import { makesSense } from './policy-sense.ts'
import { readText } from './read-text.ts'
import { loadResolvers, type Resolvers } from './resolvers.ts'
import { PolicyName } from './schema-parts.ts'
import { CATALOGUE_FILE, policyFile, RESOLVERS_FILE, shippedDirectory } from './shipped.ts'
import { parseYaml } from './yaml-document.ts'

/** Plain, frozen data: it goes to other processes as it is. */
export type Policy = Frozen<z.output<typeof PolicySchema>> & {
  /** SHA-256, hex, over the JCS form (RFC 8785) of policy, catalogue and resolvers: what was in force, comments aside. */
  readonly hash: string
}

/** What a policy decides by, from its files. */
export interface Rules {
  readonly policy: Policy
  readonly catalogue: Catalogue
  readonly resolvers: Resolvers
}

/**
 * The policy `name` with what it decides by. Each file is taken from `dir` (absolute), or, where it isn't there, from
 * what was shipped.
 * @throws PolicyError
 */
export function loadPolicy({ dir, name }: { readonly dir: string; readonly name: string }): Rules {
  const catalogue = loadCatalogue(policyFile(dir, CATALOGUE_FILE))
  const resolvers = loadResolvers(policyFile(dir, RESOLVERS_FILE))
  const settings = loadSettings(dir, name, catalogue)
  const hash = createHash('sha256')
    .update(canonical({ policy: settings, catalogue, resolvers }))
    .digest('hex')
  return { policy: freeze({ ...settings, hash }), catalogue, resolvers }
}

function loadSettings(dir: string, name: string, catalogue: Catalogue): z.output<typeof PolicySchema> {
  // The name becomes a path: nothing but a plain name may. Those of the other files are plain names too.
  const wellFormed = PolicyName.safeParse(name).success
  const file = wellFormed ? policyFile(dir, `${name}.yaml`) : undefined
  const text = file === undefined ? undefined : readText(file)
  if (file === undefined || text === undefined) {
    const places = [...new Set([dir, shippedDirectory])].join(' or ')
    throw new PolicyError(
      'UNKNOWN_POLICY',
      `there is no policy ${JSON.stringify(name.slice(0, 80))} in ${places}`,
      `Name a policy that is there, or write it into ${dir}.`,
    )
  }
  const schema = PolicySchema.refine((policy) => policy.name === name, {
    path: ['name'],
    message: `\`name\` must be \`${name}\`, like the file's`,
  }).superRefine((policy, context) => makesSense(policy, catalogue, context))
  return parseYaml(file, text, schema)
}

function canonical(value: unknown): string {
  const text = canonicalize(value)
  if (text === undefined) throw new TypeError('a policy is plain data and has a canonical form')
  return text
}
