/** What the supervisor says to the processes that speak with strangers, and what they may say to it, over IPC. */
import { z } from 'zod'

const Address = z.strictObject({ address: z.string().min(1), port: z.int().min(1).max(65535) })

export const LogServerStart = z.strictObject({
  type: z.literal('start'),
  listen: Address,
  /** The log's directory. */
  ledger: z.string().min(1),
  /** Whether entry bundles are served. */
  entries: z.boolean(),
})
export type LogServerStart = z.infer<typeof LogServerStart>

export const WitnessStart = z.strictObject({
  type: z.literal('start'),
  listen: Address,
  /** Where it keeps what it cosigned. */
  dir: z.string().min(1),
  name: z.string().min(1),
  /** Ed25519 seed. */
  key: z
    .instanceof(Uint8Array)
    .refine((bytes) => bytes.length === 32, 'a key of 32 bytes')
    .transform((bytes) => Buffer.from(bytes)),
  /** Verifier keys of the logs that it knows. */
  logs: z.array(z.string()),
})
export type WitnessStart = z.infer<typeof WitnessStart>

export const WitnessClientStart = z.strictObject({
  type: z.literal('start'),
  ledger: z.string().min(1),
  atLeast: z.int().min(1),
  of: z.array(z.strictObject({ url: z.string(), key: z.string() })).min(1),
})
export type WitnessClientStart = z.infer<typeof WitnessClientStart>

/** How it stands with the witnesses of this log. */
export const Cosigning = z.object({
  atLeast: z.int(),
  /** The newest checkpoint that enough of them cosigned. */
  size: z.string().max(32).optional(),
  /** When, RFC 3339. */
  time: z.string().max(64).optional(),
  witnesses: z
    .array(
      z.object({
        name: z.string().max(256),
        /** Why its last answer was none. */
        error: z.string().max(1024).optional(),
        /** What it says can't be so if this log has one history. */
        alarm: z.boolean(),
      }),
    )
    .max(64),
})
export type Cosigning = z.infer<typeof Cosigning>

/** From such a process: it may be in a stranger's hands, so nothing else is taken. */
export const FromServer = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  z.object({
    type: z.literal('listening'),
    listen: z.string().max(128),
    why: z.string().max(1024).optional(),
  }),
  z.object({ type: z.literal('cosigning'), state: Cosigning }),
])
