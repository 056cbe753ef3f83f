/** JSON Schemas (draft-07, which editors read) of the files in this directory, made from the zod schemas. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { AdditionSchema } from './additions.ts'
import { CasesSchema } from './cases-schema.ts'
import { CatalogueSchema } from './catalogue-schema.ts'
import { PolicySchema } from './policy-schema.ts'
import { ResolversSchema } from './resolvers-schema.ts'
import { shippedDirectory } from './shipped.ts'

const render = (title: string, schema: z.ZodType): object => ({
  title,
  ...z.toJSONSchema(schema, { target: 'draft-07', io: 'input' }),
})

/** File below this directory, and what it must hold. */
export const jsonSchemas: Readonly<Record<string, object>> = {
  'schema/policy.schema.json': render('Agent Anchor policy', PolicySchema),
  'schema/addition.schema.json': render('Agent Anchor policy drop-in', AdditionSchema),
  'schema/cases.schema.json': render('Agent Anchor policy cases', CasesSchema),
  'schema/catalogue.schema.json': render('Agent Anchor provider catalogue', CatalogueSchema),
  'schema/resolvers.schema.json': render('Agent Anchor DNS services', ResolversSchema),
}

// `node policies/json-schema.ts` writes them again after a change of a schema.
if (import.meta.main) {
  for (const [file, schema] of Object.entries(jsonSchemas)) {
    writeFileSync(join(shippedDirectory, file), `${JSON.stringify(schema, null, 2)}\n`)
  }
}
