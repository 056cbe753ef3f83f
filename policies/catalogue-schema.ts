/** The one schema of a provider catalogue; its JSON Schema is made from it (json-schema.ts). */
import { z } from 'zod'
import { parseGlob } from './host-glob.ts'

/**
 * How a provider speaks where its path says nothing else. `opaque`: recorded as sent, nothing derived.
 * The other names are those of the wire formats in docs/formats.md.
 */
const WIRE_STYLES = [
  'openai-chat',
  'openai-responses',
  'openai-realtime',
  'anthropic-messages',
  'gemini',
  'gemini-live',
  'bedrock-converse',
  'bedrock-invoke',
  'cohere-v2',
  'ollama',
  'connect-proto',
  'opaque',
] as const
export type WireStyle = (typeof WIRE_STYLES)[number]

const HostPattern = z
  .string()
  .describe('A host name; `*` is (part of) one label, `#` digits, `**` one or more whole labels.')
  .superRefine((source, context) => {
    const glob = parseGlob(source)
    if (typeof glob === 'string') context.addIssue({ code: 'custom', message: glob })
  })

const HostEntry = z.union([
  HostPattern,
  z.strictObject({
    host: HostPattern,
    unconfirmed: z.boolean().default(false).describe("True where no document of the provider's names it."),
  }),
])

export const PathPattern = z
  .string()
  .max(256)
  .regex(/^\/[^?#\s]*$/, 'a path begins with `/` and has no query')
  .regex(
    /^(?:\/\*\*(?=\/))?(?:\/[^*/]*\*?[^*/]*)*$/,
    'a segment holds one `*` at most, and `**` may stand only at the beginning',
  )
  .describe(
    'A path; `*` is (part of) one segment, at the end all that follows; `/**/` at the start any number.',
  )

const ProviderEntry = z.strictObject({
  telemetryName: z
    .string()
    .regex(/^[a-z][a-z0-9_.]{0,63}$/, 'a telemetry name is of lower-case letters, digits, `_` and `.`')
    .describe('OpenTelemetry gen_ai.provider.name; the id where OpenTelemetry has none.'),
  style: z.enum(WIRE_STYLES).describe('How it speaks where the path says nothing else.'),
  keepBodies: z.boolean().default(true).describe('False: bodies are never stored (sign-in hosts).'),
  hosts: z.array(HostEntry).min(1).max(200),
  paths: z.array(PathPattern).min(1).max(50).exactOptional().describe('Only these paths are LLM traffic.'),
})

/** The id of the provider that stands for hosts in no catalogue (call-shape.ts); no catalogue may use it. */
export const UNLISTED = 'unlisted'

const ProviderId = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,63}$/, 'a provider id is of lower-case letters, digits and `_`')
  .refine((id) => id !== UNLISTED, `\`${UNLISTED}\` stands for hosts that no catalogue has: use another id`)

const hostOf = (entry: z.output<typeof HostEntry>): string => (typeof entry === 'string' ? entry : entry.host)

export const CatalogueSchema = z
  .strictObject({
    apiVersion: z.literal('agent-anchor/v1'),
    kind: z.literal('Catalogue'),
    providers: z.record(ProviderId, ProviderEntry),
  })
  .superRefine(({ providers }, context) => {
    const owners = new Map<string, string>()
    for (const [id, { hosts }] of Object.entries(providers)) {
      for (const [index, entry] of hosts.entries()) {
        const host = hostOf(entry)
        const owner = owners.get(host)
        owners.set(host, owner ?? id)
        if (owner === undefined) continue
        const message =
          owner === id
            ? `\`${host}\` stands twice under \`${id}\`: keep one`
            : `\`${host}\` belongs to both \`${owner}\` and \`${id}\`: keep one`
        context.addIssue({ code: 'custom', path: ['providers', id, 'hosts', index], message })
      }
    }
  })

export interface Provider {
  readonly id: string
  /** `gen_ai.provider.name` of OpenTelemetry, or the id where it has none. */
  readonly telemetryName: string
  readonly style: WireStyle
  /** Host patterns, see host-glob.ts. */
  readonly hosts: readonly string[]
  /** Those of `hosts` that no document of the provider's confirms. */
  readonly unconfirmed: readonly string[]
  readonly keepBodies: boolean
  /** Only requests to these paths are LLM traffic, see governed-path.ts; absent: all are. */
  readonly paths?: readonly string[]
}

/** The providers of a catalogue that the schema let pass, in its order. */
export function providersOf({ providers }: z.output<typeof CatalogueSchema>): Provider[] {
  return Object.entries(providers).map(([id, entry]) => ({
    ...entry,
    id,
    hosts: entry.hosts.map(hostOf),
    unconfirmed: entry.hosts.flatMap((host) =>
      typeof host !== 'string' && host.unconfirmed ? [host.host] : [],
    ),
  }))
}
