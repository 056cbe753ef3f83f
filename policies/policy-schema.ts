/**
 * The one schema of a policy; its JSON Schema is made from it (json-schema.ts). It holds what can be enforced
 * today, so that no setting promises what isn't done; `traffic` and `records` rules will stand beside
 * `enforcement` and `proxy`.
 */
import { z } from 'zod'

const Outcome = z.enum(['splice', 'refuse'])

const port = z.int().min(1).max(65535)

export const PolicySchema = z.strictObject({
  apiVersion: z.literal('agent-anchor/v1'),
  kind: z.literal('Policy'),
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,62}$/, 'a policy name is of lower-case letters, digits and `-`')
    .describe("The file's name without .yaml; stands before each rule in the records."),
  description: z.string().max(500).default(''),
  enforcement: z.strictObject({
    scope: z.enum(['providers']).describe('What the fence refuses: traffic to known provider addresses.'),
    ports: z
      .array(port)
      .min(1)
      .max(64)
      .refine((ports) => new Set(ports).size === ports.length, 'a port stands here twice: keep one')
      .describe('TCP ports that are handed to the proxy, whatever the address.'),
    logGroup: z.int().min(1).max(65535).describe('Netfilter log group that refused packets are sent to.'),
  }),
  proxy: z.strictObject({
    unknownName: Outcome.describe('TLS or HTTP to a name that the catalogue does not have.'),
    noName: z
      .strictObject({
        providerAddress: Outcome.describe('… towards a known provider address.'),
        otherAddress: Outcome.describe('… towards any other address.'),
      })
      .describe('TLS or HTTP without a name, or with an address in its place.'),
    otherProtocol: z
      .strictObject({ providerAddress: Outcome, otherAddress: Outcome })
      .describe('Neither TLS nor HTTP.'),
    silent: z
      .strictObject({ providerAddress: Outcome, otherAddress: Outcome })
      .describe('Nothing sent before the sniffing time ended: server-first protocols.'),
    encryptedName: z
      .strictObject({ providerAddress: Outcome, otherAddress: Outcome })
      .describe('Encrypted Client Hello (RFC 9849) under a name that the catalogue does not have.'),
  }),
})
