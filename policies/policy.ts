import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import type { z } from 'zod'
import { type Catalogue, loadCatalogue } from './catalogue.ts'
import { type Frozen, freeze } from './frozen.ts'
import { PolicyError } from './policy-error.ts'
import { PolicySchema } from './policy-schema.ts'
import { readText } from './read-text.ts'
import { CATALOGUE_FILE, policyFile, shippedDirectory } from './shipped.ts'
import { parseYaml } from './yaml-document.ts'

/** Plain, frozen data: it goes to other processes as it is. */
export type Policy = Frozen<z.output<typeof PolicySchema>> & {
  /** SHA-256, hex, over the JCS form (RFC 8785) of policy and catalogue: what was in force, comments aside. */
  readonly hash: string
}

export interface Rules {
  readonly policy: Policy
  readonly catalogue: Catalogue
}

/**
 * The policy `name` with the catalogue that it decides by. Each file is taken from `dir` (absolute), or, where
 * it isn't there, from what was shipped.
 * @throws PolicyError
 */
export function loadPolicy({ dir, name }: { readonly dir: string; readonly name: string }): Rules {
  const catalogue = loadCatalogue(policyFile(dir, CATALOGUE_FILE))
  const settings = loadSettings(dir, name)
  const hash = createHash('sha256')
    .update(canonical({ policy: settings, catalogue }))
    .digest('hex')
  return { policy: freeze({ ...settings, hash }), catalogue }
}

function loadSettings(dir: string, name: string): z.output<typeof PolicySchema> {
  // The name becomes a path: nothing but a plain name may.
  const wellFormed = PolicySchema.shape.name.safeParse(name).success
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
  const named = PolicySchema.refine((policy) => policy.name === name, {
    path: ['name'],
    message: `\`name\` must be \`${name}\`, like the file's`,
  })
  return parseYaml(file, text, named)
}

function canonical(value: unknown): string {
  const text = canonicalize(value)
  if (text === undefined) throw new TypeError('a policy is plain data and has a canonical form')
  return text
}
