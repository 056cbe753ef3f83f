/**
 * The record: one JCS (RFC 8785) JSON document an exchange, the leaf of the log. At most 4 KiB; bodies stand
 * in it as salted digests. Derived fields carry OpenTelemetry GenAI names (docs/formats.md).
 */
import { z } from 'zod'
import { OUTCOMES } from './outcomes.ts'

/** Longest leaf in bytes. A tlog-tiles entry may have 65,535; a commitment needs far less. */
export const MAX_LEAF = 4096

const Endpoint = z.strictObject({ address: z.string(), port: z.int().min(0).max(65535) })
const Agent = z.strictObject({
  uid: z.int().nonnegative().optional(),
  inode: z.int().nonnegative().optional(),
})
const Hex32 = z.string().regex(/^[0-9a-f]{64}$/)

/** A stored part: `digest` = SHA-256(salt[32] ‖ bytes), hex; the salt lies beside the bytes, encrypted. */
const Part = z.strictObject({ digest: Hex32, size: z.int().nonnegative(), stored: z.boolean() })
export type Part = z.infer<typeof Part>

const Derived = z.strictObject({
  'gen_ai.provider.name': z.string(),
  'gen_ai.operation.name': z.string().optional(),
  'gen_ai.request.model': z.string().optional(),
  'gen_ai.request.stream': z.boolean().optional(),
  'gen_ai.response.model': z.string().optional(),
  'gen_ai.response.id': z.string().optional(),
  'gen_ai.response.finish_reasons': z.array(z.string()).optional(),
  'gen_ai.usage.input_tokens': z.int().nonnegative().optional(),
  'gen_ai.usage.output_tokens': z.int().nonnegative().optional(),
  'gen_ai.usage.cache_read.input_tokens': z.int().nonnegative().optional(),
  'gen_ai.usage.cache_creation.input_tokens': z.int().nonnegative().optional(),
  'gen_ai.usage.reasoning.output_tokens': z.int().nonnegative().optional(),
  /** reported: the provider said it; none: it did not. */
  usageSource: z.enum(['reported', 'none']),
  /** Why nothing could be derived from the content, where that is so. */
  unparsed: z.string().optional(),
})
export type Derived = z.infer<typeof Derived>

const common = {
  v: z.literal(1),
  id: z.uuid(),
  /** RFC 3339, UTC, milliseconds. */
  time: z.string(),
}

export const ExchangeRecord = z.strictObject({
  ...common,
  kind: z.literal('exchange'),
  outcome: z.enum(OUTCOMES),
  provider: z.string(),
  server: z.strictObject({
    name: z.string(),
    tls: z.boolean(),
    originalDestination: Endpoint,
    upstream: Endpoint.optional(),
    /** True where the address the agent dialled was none of the name's. */
    destinationMismatch: z.boolean().optional(),
  }),
  client: Endpoint,
  agent: Agent,
  credentials: z.array(z.strictObject({ where: z.string(), fingerprint: z.string() })),
  http: z.strictObject({
    method: z.string().optional(),
    /** Path and query, credentials replaced, cut to 512 characters. */
    target: z.string().optional(),
    status: z.int().optional(),
  }),
  /** Milliseconds after `time`. */
  timing: z.strictObject({
    requestEnd: z.number().optional(),
    durable: z.number().optional(),
    firstByte: z.number().optional(),
    end: z.number(),
  }),
  request: z.strictObject({ head: Part, body: Part }),
  response: z.strictObject({ head: Part, body: Part }).optional(),
  derived: Derived,
  policy: z.strictObject({ hash: Hex32, rule: z.string() }),
  error: z.strictObject({ code: z.string(), message: z.string() }).optional(),
})
export type ExchangeRecord = z.infer<typeof ExchangeRecord>

export const RefusalRecord = z.strictObject({
  ...common,
  kind: z.literal('refusal'),
  rule: z.string(),
  reason: z.string(),
  agent: Agent,
  client: Endpoint,
  originalDestination: Endpoint,
  serverName: z.string().optional(),
  policy: z.strictObject({ hash: Hex32 }),
})
export type RefusalRecord = z.infer<typeof RefusalRecord>

/** What the gateway did itself: start, stop, a child's death, a policy in force, a key made. */
export const AuditRecord = z.strictObject({
  ...common,
  kind: z.literal('audit'),
  event: z.string(),
  detail: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
})
export type AuditRecord = z.infer<typeof AuditRecord>

/** A span in which the promise did not hold or cannot be shown to have held. */
export const GapRecord = z.strictObject({
  ...common,
  kind: z.literal('gap'),
  cause: z.string(),
  from: z.string(),
  to: z.string(),
})
export type GapRecord = z.infer<typeof GapRecord>

export const LogRecord = z.discriminatedUnion('kind', [ExchangeRecord, RefusalRecord, AuditRecord, GapRecord])
export type LogRecord = z.infer<typeof LogRecord>
