/** The part of the policy's schema that rules are written in: named agents, detectors, `traffic` and `records`. */
import { z } from 'zod'
import { PathPattern } from './catalogue-schema.ts'
import { patternProblem } from './detectors/own-pattern.ts'
import { addresses, groups, hosts, LONGEST_LIST, list, plainName, ports, users } from './schema-parts.ts'

const RuleName = z
  .string()
  .regex(plainName, "a rule's name is of lower-case letters, digits and `-`, beginning with a letter")

const PlainName = z
  .string()
  .regex(plainName, 'a name is of lower-case letters, digits and `-`, beginning with a letter')

const Glob = z.string().min(1).max(256).describe('Text; `*` stands for any characters, also none.')
const globs = (what: string) => list(Glob, what).min(1).exactOptional()

/** OpenTelemetry's `gen_ai.operation.name`. */
const OPERATIONS = [
  'chat',
  'generate_content',
  'text_completion',
  'embeddings',
  'create_agent',
  'invoke_agent',
  'execute_tool',
] as const

/** All that a rule may ask for. */
const conditions = {
  providers: list(z.string(), 'this provider')
    .min(1)
    .exactOptional()
    .describe('Ids in the catalogue; `*`: all of them.'),
  hosts: hosts.min(1).exactOptional(),
  addresses: addresses.min(1).exactOptional(),
  ports: ports.min(1).exactOptional(),
  users: users.min(1).exactOptional(),
  agents: list(PlainName, 'this agent').min(1).exactOptional().describe('Names of `agents`.'),
  methods: list(z.string().regex(/^[A-Z]{1,32}$/, 'a method is of capital letters'), 'this method')
    .min(1)
    .exactOptional(),
  paths: list(PathPattern, 'this path').min(1).exactOptional(),
  operations: list(z.enum(OPERATIONS), 'this operation').min(1).exactOptional(),
  models: globs('this model').describe('Of the request.'),
  tools: globs('this tool').describe('Names of tools that the request offers or says were called.'),
  largerThan: z
    .int()
    .min(0)
    .max(2 ** 40)
    .exactOptional()
    .describe("Bytes of the request's body, as sent."),
  content: list(PlainName, 'this detector')
    .min(1)
    .exactOptional()
    .describe('`secrets`, `email`, `card`, `iban`, or names of `detectors`.'),
}

const TrafficRule = z.strictObject({
  name: RuleName.describe('Stands in records: POLICY/traffic/NAME.'),
  action: z.enum(['allow', 'block', 'redact']),
  ...conditions,
  cannotTell: z
    .enum(['block', 'pass'])
    .exactOptional()
    .describe(
      'Where a rule that blocks or redacts can’t be judged or done: `block`, or `pass` on to the next rule.',
    ),
})

export const Traffic = z
  .strictObject({
    default: z.enum(['allow', 'block']).default('allow').describe('Where no rule matches.'),
    rules: z.array(TrafficRule).max(LONGEST_LIST).default([]).describe('The first that matches decides.'),
  })
  .prefault({})

const KEPT = ['anchor', 'keep', 'metadata-only', 'redact', 'discard'] as const
export type Kept = (typeof KEPT)[number]

const RecordsRule = z.strictObject({
  name: RuleName.describe('Stands in records: POLICY/records/NAME.'),
  action: z.enum(KEPT),
  ...conditions,
})

export const Records = z
  .strictObject({
    default: z.enum(['anchor', 'keep', 'metadata-only']).default('anchor').describe('Where no rule matches.'),
    rules: z.array(RecordsRule).max(LONGEST_LIST).default([]).describe('The first that matches decides.'),
  })
  .prefault({})

/** All that an entry says must hold; entries of one name add up. */
const Agent = z.strictObject({
  name: PlainName.describe('Stands in records: agent.name.'),
  users: users.min(1).exactOptional(),
  groups: groups.min(1).exactOptional(),
  units: globs('this unit').describe("systemd's, as records show them."),
  containers: globs('this container').describe('RUNTIME:ID, as records show them.'),
  executables: globs('this executable').describe('Paths; a container has its own.'),
  sha256: list(z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 is of 64 hex digits'), 'this hash')
    .min(1)
    .exactOptional()
    .describe("Of the executable's bytes."),
})

export const Agents = z.array(Agent).max(LONGEST_LIST).default([])

export const Detectors = z
  .array(
    z.strictObject({
      name: PlainName,
      pattern: z
        .string()
        .min(1)
        .max(1000)
        .describe('RE2: no look-around, no back-references; takes time linear in the text.')
        .superRefine((pattern, context) => {
          const message = patternProblem(pattern)
          if (message !== undefined) context.addIssue({ code: 'custom', message })
        }),
    }),
  )
  .max(32)
  .default([])
