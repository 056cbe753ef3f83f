/** What supervisor and recorder say to each other over IPC (serialization `advanced`). */
import { z } from 'zod'
import type { Policy as InForce } from '../../policies/policy.ts'
import { AnchoringStart } from './anchoring/settings.ts'
import { AgentPayload } from './payloads.ts'

const Key = z
  .instanceof(Uint8Array)
  .refine((bytes) => bytes.length === 32, 'a key of 32 bytes')
  .transform((bytes) => Buffer.from(bytes))

/** Checked when it was loaded, by the schema of policies/; here only that it is there. */
const Policy = z.custom<InForce>(
  (value) =>
    typeof (value as Partial<InForce> | null)?.hash === 'string' &&
    Array.isArray((value as InForce).records?.rules),
  'must be a policy',
)

const Start = z.strictObject({
  type: z.literal('start'),
  /** The recorder's own directory, `…/recorder`. */
  stateDir: z.string().min(1),
  /** Path of recorder.sock; its directory's mode says who may connect. Where absent nothing is taken in. */
  socket: z.string().min(1).optional(),
  /** That in force, and behind it those before. */
  bodyKey: z
    .instanceof(Uint8Array)
    .refine(({ length }) => length >= 32 && length % 32 === 0, 'keys of 32 bytes')
    .transform((bytes) => Buffer.from(bytes)),
  /** Ed25519 seed. */
  logKey: Key,
  origin: z.string().min(1),
  verifierKey: z.string().min(1),
  /** The log key before this one, with its seed while it signs beside. */
  predecessor: z.strictObject({ verifierKey: z.string().min(1), logKey: Key.optional() }).optional(),
  checkpointIntervalMs: z.int().min(10).max(60_000).default(1000),
  /** Path of status.sock; none where absent. */
  statusSocket: z.string().min(1).optional(),
  /** In force: what is kept, and who is called what. All is kept where absent. */
  policy: Policy.optional(),
  /** Path of admin.sock; none where absent. */
  adminSocket: z.string().min(1).optional(),
  retention: z
    .strictObject({
      maxAgeMs: z.number().positive().optional(),
      maxSize: z.number().positive().optional(),
      whenDiskFull: z.enum(['refuse', 'expire']),
      reserve: z.number().nonnegative().optional(),
    })
    .default({ whenDiskFull: 'refuse' }),
  /** Where metrics are served, on loopback; nowhere where absent. */
  metrics: z.strictObject({ address: z.string(), port: z.int(), supervisorState: z.string() }).optional(),
  /** The knobs in force; without, nothing is said about how far anchoring is. */
  anchoring: AnchoringStart.optional(),
  /** Handed to the chain-writer's thread as it is; no chain-writer where absent. */
  chain: z.record(z.string(), z.unknown()).optional(),
})
export type RecorderStart = z.infer<typeof Start>

const Detail = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
/** Milliseconds since the epoch. */
const Time = z.number()
const Endpoint = z.strictObject({ address: z.string().max(64), port: z.int().min(0).max(65535) })

/** Made by the recorder where absent. One that is in the log already makes no second record: so it may be resent. */
export const Id = z.uuid().toLowerCase().optional()

/** What kernel, sensor or DNS guard saw: packets or attempts of one kind, counted from `from` to `to`. */
const sighting = {
  id: Id,
  rule: z.string().min(1).max(256),
  reason: z.string().max(8192),
  /** `tcp`, `udp`, `quic`, `icmp` …, lower case. */
  protocol: z.string().max(16),
  agent: AgentPayload,
  client: Endpoint.optional(),
  /** Port 0 where the protocol has none. */
  destination: Endpoint,
  serverName: z.string().max(1024).optional(),
  count: z.int().positive(),
  from: Time,
  to: Time,
  /** What saw it: `kernel`, `sensor`, `dns-guard`, or a device. */
  via: z.string().min(1).max(64),
  /** Hash of the policy in force. */
  policy: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
}

const Uid = z.int().nonnegative()

/** Of the records whose content is to be erased by one request. */
export const ErasedIds = z.array(z.uuid().toLowerCase()).min(1).max(1000)

export const FromSupervisor = z.discriminatedUnion('type', [
  Start,
  z.strictObject({
    type: z.literal('audit'),
    id: Id,
    /** When it happened, milliseconds since the epoch; now where absent. */
    time: Time.optional(),
    event: z.string().min(1),
    detail: Detail.default({}),
  }),
  /** A span in which the promise did not hold or cannot be shown to have held. */
  z.strictObject({
    type: z.literal('gap'),
    id: Id,
    cause: z.string().min(1),
    from: Time,
    to: Time,
    detail: Detail.optional(),
  }),
  z.strictObject({ type: z.literal('refusal'), ...sighting }),
  z.strictObject({ type: z.literal('leak'), ...sighting }),
  /** What the supervisor knows of itself; shown in the status document as `supervisor`. */
  z.strictObject({ type: z.literal('supervisor'), state: z.unknown() }),
  /** Another policy is in force. */
  z.strictObject({ type: z.literal('policy'), policy: Policy }),
  /** For who runs a recorder of their own while no gateway does; else by admin.sock. */
  z.strictObject({ type: z.literal('erase'), ids: ErasedIds, uid: Uid, loginUid: Uid.optional() }),
  z.strictObject({ type: z.literal('stop') }),
])
export type FromSupervisor = z.infer<typeof FromSupervisor>

/** Messages that become records. Times are milliseconds since the epoch. */
export type Evidence = Extract<FromSupervisor, { type: 'audit' | 'gap' | 'refusal' | 'leak' }>
export type Sighting = Extract<Evidence, { type: 'refusal' | 'leak' }>

/** About an erasure: a step, the end, or why it failed. Lines of JSON on admin.sock, messages of the recorder over IPC. */
export const ErasureAnswer = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('erasing'),
    progress: z.object({ done: z.number(), of: z.number() }),
  }),
  z.object({
    type: z.literal('erased'),
    result: z.object({
      erased: z.array(z.string()),
      skipped: z.array(z.object({ id: z.string(), why: z.string() })),
    }),
  }),
  z.object({
    type: z.literal('erase-failed'),
    error: z.object({ code: z.string(), message: z.string(), remedy: z.string() }),
  }),
])
export type ErasureAnswer = z.infer<typeof ErasureAnswer>

/** From the recorder: these messages of the supervisor's are in the log. */
export const Recorded = z.object({ type: z.literal('recorded'), ids: z.array(z.string()) })
export type Recorded = z.infer<typeof Recorded>
