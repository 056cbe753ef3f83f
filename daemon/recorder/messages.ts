/** What supervisor and recorder say to each other over IPC (serialization `advanced`). */
import { z } from 'zod'

const Key = z
  .instanceof(Uint8Array)
  .refine((bytes) => bytes.length === 32, 'a key of 32 bytes')
  .transform((bytes) => Buffer.from(bytes))

const Start = z.strictObject({
  type: z.literal('start'),
  /** The recorder's own directory, `…/recorder`. */
  stateDir: z.string().min(1),
  /** Path of recorder.sock; its directory's mode says who may connect. */
  socket: z.string().min(1),
  bodyKey: Key,
  /** Ed25519 seed. */
  logKey: Key,
  origin: z.string().min(1),
  verifierKey: z.string().min(1),
  checkpointIntervalMs: z.int().min(10).max(60_000).default(1000),
  /** Path of status.sock; none where absent. */
  statusSocket: z.string().min(1).optional(),
  /** Handed to the chain-writer's thread as it is; no chain-writer where absent. */
  chain: z.record(z.string(), z.unknown()).optional(),
})
export type RecorderStart = z.infer<typeof Start>

const Scalar = z.union([z.string(), z.number(), z.boolean()])

export const FromSupervisor = z.discriminatedUnion('type', [
  Start,
  z.strictObject({
    type: z.literal('audit'),
    /** When it happened, milliseconds since the epoch; now where absent. */
    time: z.number().optional(),
    event: z.string().min(1),
    detail: z.record(z.string(), Scalar).default({}),
  }),
  /** What the supervisor knows of itself; shown in the status document as `supervisor`. */
  z.strictObject({ type: z.literal('supervisor'), state: z.unknown() }),
  z.strictObject({ type: z.literal('stop') }),
])
