/** The one schema of the list of DNS services; its JSON Schema is made from it (json-schema.ts). */
import { z } from 'zod'
import { parseGlob } from './host-glob.ts'
import { parseNetwork } from './network.ts'

const ServiceName = z
  .string()
  .describe('A host name; `*` is (part of) one label, `#` digits, `**` one or more whole labels.')
  .superRefine((source, context) => {
    const glob = parseGlob(source)
    if (typeof glob === 'string') context.addIssue({ code: 'custom', message: glob })
  })

const ServiceAddress = z
  .string()
  .describe('An address, or a network in CIDR notation.')
  .superRefine((source, context) => {
    const network = parseNetwork(source)
    if (typeof network === 'string') context.addIssue({ code: 'custom', message: network })
  })

export const ResolversSchema = z.strictObject({
  apiVersion: z.literal('agent-anchor/v1'),
  kind: z.literal('Resolvers'),
  services: z.record(
    z.string().regex(/^[a-z][a-z0-9_]{0,63}$/, "a service's id is of lower-case letters, digits and `_`"),
    z.strictObject({
      names: z.array(ServiceName).min(1).max(200),
      addresses: z.array(ServiceAddress).max(200).default([]),
    }),
  ),
})
