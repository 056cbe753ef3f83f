/** What the supervisor and a process that serves strangers say to each other over IPC. */
import { z } from 'zod'

export const Address = z.strictObject({ address: z.string().min(1), port: z.int().min(1).max(65535) })

export const LogServerStart = z.strictObject({
  type: z.literal('start'),
  listen: Address,
  /** The log's directory. */
  ledger: z.string().min(1),
  /** Whether entry bundles are served. */
  entries: z.boolean(),
})
export type LogServerStart = z.infer<typeof LogServerStart>

/** From a process that serves: it may be in a stranger's hands, so nothing else is taken. */
export const FromServer = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready') }),
  z.object({
    type: z.literal('listening'),
    listen: z.string().max(128),
    why: z.string().max(1024).optional(),
  }),
])
