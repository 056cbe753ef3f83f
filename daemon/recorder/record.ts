/**
 * The record: one JCS (RFC 8785) JSON document an exchange, the leaf of the log. At most 4 KiB; bodies stand
 * in it as salted digests. Derived fields carry OpenTelemetry GenAI names (docs/formats.md).
 */
import * as z from 'zod'
import { Derived } from './derived.ts'
import { OUTCOMES } from './outcomes.ts'

/** Longest leaf in bytes. A tlog-tiles entry may have 65,535; a commitment needs far less. */
export const MAX_LEAF = 4096

const Endpoint = z.strictObject({ address: z.string(), port: z.int().min(0).max(65535) })
const Uid = z.int().min(0).max(0xffff_ffff)
const Hex32 = z.string().regex(/^[0-9a-f]{64}$/)

/** Most processes that one record names; `more` counts those beyond. */
export const MAX_PROCESSES = 8

/**
 * A process that held the agent's socket when it was looked for. `name` is what it calls itself and proves nothing;
 * `executable` and `sha256` are of the file that the kernel runs. What it shares with the agent isn't said again.
 */
const Process = z.strictObject({
  pid: z.int().positive(),
  name: z.string(),
  executable: z.string().optional(),
  sha256: Hex32.optional(),
  uid: Uid.optional(),
  gid: Uid.optional(),
  cgroup: z.string().optional(),
  unit: z.string().optional(),
  container: z.string().optional(),
})

/** Whose the connection was. What could not be known is absent: never a guess. */
const Agent = z.strictObject({
  /** What the policy calls it; absent where no name certainly fits. */
  name: z.string().optional(),
  /** Who made the socket, also where the process changed its uid since. */
  uid: Uid.optional(),
  gid: Uid.optional(),
  /** Of the socket, as in /proc/<pid>/fd. */
  inode: z.int().nonnegative().optional(),
  /** Path in the hierarchy of control groups. */
  cgroup: z.string().optional(),
  /** systemd's unit; `user@UID.service/UNIT` for what a user's own manager started. */
  unit: z.string().optional(),
  /** `RUNTIME:ID`. */
  container: z.string().optional(),
  /** Every process that held the socket. */
  processes: z.array(Process).optional(),
  /** Processes beyond those listed. */
  more: z.int().positive().optional(),
})
export type Agent = z.infer<typeof Agent>

/** A stored part: `digest` = SHA-256(salt[32] ‖ bytes), hex; the salt lies beside the bytes, encrypted. */
const Part = z.strictObject({ digest: Hex32, size: z.int().nonnegative(), stored: z.boolean() })
export type Part = z.infer<typeof Part>

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
  policy: z.strictObject({
    hash: Hex32,
    rule: z.string(),
    /** What the rule did to the request, other than to let it pass; `redact`: the bodies here are what went out. */
    verdict: z.enum(['block', 'redact']).optional(),
    /** Kinds of content that were found; what could not be told, where that decided. */
    found: z.array(z.string()).optional(),
    unknown: z.array(z.string()).optional(),
    /** What was kept, where the policy has more to say of it than `anchor`. */
    records: z
      .strictObject({
        action: z.enum(['anchor', 'keep', 'metadata-only', 'redact']),
        /** `POLICY/records/NAME`; absent: the default. */
        rule: z.string().optional(),
        /** Of the policy that decided, where it isn't the one above: that was gone by then. */
        hash: Hex32.optional(),
        /** How many matches were replaced in the bodies. */
        redacted: z.int().nonnegative().optional(),
        /** Of which kinds they were, each once. */
        found: z.array(z.string()).max(32).optional(),
      })
      .optional(),
  }),
  /** One turn of a WebSocket: heads are the handshake's, bodies the messages of each side (docs/formats.md). */
  webSocket: z
    .strictObject({
      /** Id of the handshake's record. */
      connection: z.uuid(),
      /** From 1 on. */
      turn: z.int().positive(),
      messages: z.strictObject({ client: z.int().nonnegative(), server: z.int().nonnegative() }).optional(),
      /** Pings and pongs of both sides. */
      controls: z.int().nonnegative().optional(),
      /** The model that the client named last for the whole session, in this turn or one before. */
      model: z.string().optional(),
      /** Who closed, and the code. */
      close: z.strictObject({ by: z.enum(['client', 'server']), code: z.int().optional() }).optional(),
    })
    .optional(),
  /** What else was noticed about it, e.g. `unlisted-host`, `name-mismatch`. */
  flags: z.array(z.string()).optional(),
  error: z.strictObject({ code: z.string(), message: z.string() }).optional(),
})
export type ExchangeRecord = z.infer<typeof ExchangeRecord>

/** Of what is aggregated: how many packets or attempts between the two times, RFC 3339. */
const span = { count: z.int().positive(), from: z.string(), to: z.string() }

/** A connection, request or packet that did not get through. */
export const RefusalRecord = z.strictObject({
  ...common,
  kind: z.literal('refusal'),
  rule: z.string(),
  reason: z.string(),
  protocol: z.string().optional(),
  agent: Agent,
  client: Endpoint.optional(),
  originalDestination: Endpoint,
  serverName: z.string().optional(),
  count: span.count.optional(),
  from: span.from.optional(),
  to: span.to.optional(),
  /** What saw or refused it: the proxy where absent. */
  via: z.string().optional(),
  policy: z.strictObject({ hash: Hex32 }).optional(),
})
export type RefusalRecord = z.infer<typeof RefusalRecord>

/** Traffic of a governed name that was seen leaving the machine past the proxy. */
export const LeakRecord = z.strictObject({
  ...common,
  kind: z.literal('leak'),
  rule: z.string(),
  reason: z.string(),
  protocol: z.string(),
  agent: Agent,
  client: Endpoint.optional(),
  destination: Endpoint,
  serverName: z.string().optional(),
  ...span,
  via: z.string(),
  policy: z.strictObject({ hash: Hex32 }).optional(),
})
export type LeakRecord = z.infer<typeof LeakRecord>

const Detail = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))

/** What the gateway did itself: start, stop, a child's death, a policy in force, a key made. */
export const AuditRecord = z.strictObject({
  ...common,
  kind: z.literal('audit'),
  event: z.string(),
  detail: Detail,
})
export type AuditRecord = z.infer<typeof AuditRecord>

/** A span in which the promise did not hold or cannot be shown to have held. */
export const GapRecord = z.strictObject({
  ...common,
  kind: z.literal('gap'),
  cause: z.string(),
  from: z.string(),
  to: z.string(),
  detail: Detail.optional(),
})
export type GapRecord = z.infer<typeof GapRecord>

export const LogRecord = z.discriminatedUnion('kind', [
  ExchangeRecord,
  RefusalRecord,
  LeakRecord,
  AuditRecord,
  GapRecord,
])
export type LogRecord = z.infer<typeof LogRecord>
