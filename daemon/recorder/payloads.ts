/**
 * Schemas of the JSON payloads between proxy and recorder. Types only are imported by protocol.ts, so a
 * proxy worker doesn't load zod for them.
 */
import { z } from 'zod'
import { OUTCOMES } from './outcomes.ts'

const Endpoint = z.strictObject({ address: z.string().max(64), port: z.int().min(0).max(65535) })
const Agent = z.strictObject({
  /** Absent where the kernel no longer knew the socket: unknown, never guessed. */
  uid: z.int().nonnegative().optional(),
  inode: z.int().nonnegative().optional(),
})
const Hex32 = z.string().regex(/^[0-9a-f]{64}$/)
const Code = z.string().max(128)
const Message = z.string().max(8192)

/** A credential seen in a request, replaced by its keyed fingerprint before it left the proxy. */
const Credential = z.strictObject({
  /** Where it stood: `header:authorization`, `query:key`, `header:cookie`. */
  where: z.string().max(256),
  /** `fp_` and 32 hex digits: HMAC-SHA-256 under a key of this machine, truncated. */
  fingerprint: z.string().max(64),
})

/** Who talked to whom, known before the first byte of HTTP. */
export const OpenPayload = z.strictObject({
  /** UUIDv7, the record's id. */
  id: z.uuid().toLowerCase(),
  /** Catalogue id of the provider. */
  provider: z.string().max(128),
  /** The catalogue's OpenTelemetry name and wire style of the provider; told by path where absent. */
  telemetryName: z.string().max(128).optional(),
  style: z.string().max(64).optional(),
  /** The validated name: SNI, or Host on plain HTTP. */
  serverName: z.string().max(1024),
  agent: Agent,
  client: Endpoint,
  originalDestination: Endpoint,
  tls: z.boolean(),
  /** SHA-256 of the policy in force, hex, and the rule that decided. */
  policy: z.strictObject({ hash: Hex32, rule: z.string().max(256) }),
  credentials: z.array(Credential).max(256),
  /** False where the catalogue says that bodies of this host are never kept (sign-in hosts). */
  keepBodies: z.boolean(),
})

export const RequestEndPayload = z.strictObject({
  /** Trailer fields as sent, if any. */
  trailers: z.string().optional(),
})

export const EndPayload = z.strictObject({
  outcome: z.enum(OUTCOMES),
  /** Where the request went in the end; absent if nowhere. */
  upstream: Endpoint.optional(),
  /** The address the agent dialled was none of the name's; `upstream` was dialled instead. */
  destinationMismatch: z.boolean().optional(),
  error: z.strictObject({ code: Code, message: Message }).optional(),
  trailers: z.string().optional(),
  /** True after a 101: what follows in both bodies is the upgraded stream as sent. */
  upgraded: z.boolean().optional(),
})

export const RefusalPayload = z.strictObject({
  id: z.uuid().toLowerCase(),
  rule: z.string().max(256),
  reason: Message,
  agent: Agent,
  client: Endpoint,
  originalDestination: Endpoint,
  serverName: z.string().max(1024).optional(),
  policy: z.strictObject({ hash: Hex32 }),
})
