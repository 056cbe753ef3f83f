/**
 * Schemas of the JSON payloads between proxy and recorder. Types only are imported by protocol.ts, so a
 * proxy worker doesn't load zod for them.
 */
import { z } from 'zod'
import { OUTCOMES } from './outcomes.ts'
import { MAX_PROCESSES } from './record.ts'

const Endpoint = z.strictObject({ address: z.string().max(64), port: z.int().min(0).max(65535) })
const Uid = z.int().min(0).max(0xffff_ffff)
const Hex32 = z.string().regex(/^[0-9a-f]{64}$/)
const Path = z.string().max(4096)
const Name = z.string().max(512)

/** As in the record (record.ts). Absent is what nobody could know: unknown, never guessed. */
export const AgentPayload = z.strictObject({
  uid: Uid.optional(),
  gid: Uid.optional(),
  inode: z.int().nonnegative().optional(),
  cgroup: Path.optional(),
  unit: Name.optional(),
  container: Name.optional(),
  processes: z
    .array(
      z.strictObject({
        pid: z.int().positive(),
        name: Name,
        executable: Path.optional(),
        sha256: Hex32.optional(),
        uid: Uid.optional(),
        gid: Uid.optional(),
        cgroup: Path.optional(),
        unit: Name.optional(),
        container: Name.optional(),
      }),
    )
    .max(MAX_PROCESSES)
    .optional(),
  more: z.int().positive().optional(),
})
/** Short words of a closed kind, e.g. `unlisted-host`. */
const Flags = z.array(z.string().max(64)).max(16)
const Code = z.string().max(128)
const Message = z.string().max(8192)

const Held = z.number().nonnegative().max(60_000)

/** A credential seen in a request, replaced by its keyed fingerprint before it left the proxy. */
const Credential = z.strictObject({
  /** Where it stood: `header:authorization`, `query:key`, `header:cookie`. */
  where: z.string().max(256),
  /** `fp_` and 32 hex digits: HMAC-SHA-256 under a key of this machine, truncated. */
  fingerprint: z.string().max(64),
})

const Count = z.int().nonnegative()
/** As in the record (record.ts). */
const WebSocketOpen = z.strictObject({ connection: z.uuid().toLowerCase(), turn: z.int().positive() })
const WebSocketEnd = z.strictObject({
  messages: z.strictObject({ client: Count, server: Count }),
  controls: Count,
  model: z.string().max(128).optional(),
  close: z
    .strictObject({ by: z.enum(['client', 'server']), code: z.int().min(0).max(65535).optional() })
    .optional(),
})

/** What a rule did to a request, other than to let it pass. */
const Verdict = {
  verdict: z.enum(['block', 'redact']).optional(),
  /** Kinds of content that were found; what could not be told, where that decided. */
  found: z.array(z.string().max(128)).max(64).optional(),
  unknown: z.array(z.string().max(256)).max(16).optional(),
}

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
  agent: AgentPayload,
  client: Endpoint,
  originalDestination: Endpoint,
  tls: z.boolean(),
  /** SHA-256 of the policy in force, hex, and the rule that decided. */
  policy: z.strictObject({
    hash: Hex32,
    rule: z.string().max(256),
    ...Verdict,
  }),
  credentials: z.array(Credential).max(256),
  /** False where bodies are never kept: of sign-in hosts in the catalogue, of calls that hand out keys. */
  keepBodies: z.boolean(),
  flags: Flags.optional(),
  /** One turn of a WebSocket: its bodies are messages (web-socket-body.ts), RequestEnd comes after each that was sent. */
  webSocket: WebSocketOpen.optional(),
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
  /** True after a 101, or an extended CONNECT of HTTP/2: what follows in both bodies is the upgraded stream as sent. */
  upgraded: z.boolean().optional(),
  /** Milliseconds that this frame waited for `agent`: the exchange ended so long before. */
  heldMs: Held.optional(),
  /** What was learned of the agent after Open; takes the place of Open's. */
  agent: AgentPayload.optional(),
  /** What was noticed after Open; goes with Open's. */
  flags: Flags.optional(),
  /** Of a WebSocket's turn. */
  webSocket: WebSocketEnd.optional(),
  /** The rule that did something to one of its messages, and what; takes the place of Open's. */
  policy: z.strictObject({ rule: z.string().max(256), ...Verdict }).optional(),
  /** The answer is held until the record has reached its level: to be answered by Reached. */
  hold: z.literal(true).optional(),
})

export const RefusalPayload = z.strictObject({
  id: z.uuid().toLowerCase(),
  /** As in End. */
  heldMs: Held.optional(),
  rule: z.string().max(256),
  reason: Message,
  /** `tcp` where absent. */
  protocol: z.string().max(16).optional(),
  agent: AgentPayload,
  client: Endpoint,
  originalDestination: Endpoint,
  serverName: z.string().max(1024).optional(),
  policy: z.strictObject({ hash: Hex32 }),
})
