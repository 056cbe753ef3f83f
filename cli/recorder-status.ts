/** The recorder's status document, as far as the commands read it, and how it is had. */
import { connect } from 'node:net'
import { z } from 'zod'

const HealthItem = z.object({
  code: z.string(),
  severity: z.enum(['info', 'warning', 'error']),
  title: z.string(),
  remedy: z.string(),
})

const Point = z.object({ size: z.string(), root: z.string() })

const ChainStatus = z.object({
  name: z.string(),
  chainId: z.number().optional(),
  contract: z.string().optional(),
  label: z.string().optional(),
  logKey: z.string().optional(),
  gatewayAddress: z.string().optional(),
  owner: z.string().optional(),
  authorization: z.object({ policy: z.string(), until: z.string().optional() }).optional(),
  head: Point.optional(),
  sizes: z
    .object({ submitted: z.string(), included: z.string(), safe: z.string(), finalized: z.string() })
    .optional(),
  failing: z.string().optional(),
  anchored: Point.extend({
    block: z.number(),
    time: z.string(),
    transaction: z.string(),
    finality: z.string().optional(),
    confirmedBy: z.string().optional(),
  }).optional(),
  currency: z.string().optional(),
  explorer: z.string().optional(),
  waitingSince: z.string().optional(),
  funds: z
    .object({
      balance: z.string().optional(),
      spentToday: z.string(),
      budget: z.string().optional(),
      lastAnchor: z.string().optional(),
    })
    .optional(),
  health: z.array(HealthItem).optional(),
})
export type ChainStatus = z.infer<typeof ChainStatus>

const AnchoringStatus = z.object({
  preset: z.string(),
  acknowledge: z.string(),
  trial: z.boolean(),
  anchored: z.string(),
  lagSeconds: z.number(),
  lagLeaves: z.string(),
  holding: z.number(),
  blocked: z.string().optional(),
})
export type AnchoringStatus = z.infer<typeof AnchoringStatus>

const RecorderStatus = z.object({
  records: z.number(),
  pending: z.number(),
  treeSize: z.string(),
  checkpointTime: z.string().optional(),
  chain: z.object({ chains: z.array(ChainStatus) }).optional(),
  anchoring: AnchoringStatus.optional(),
  health: z.array(HealthItem),
})
export type RecorderStatus = z.infer<typeof RecorderStatus>

const ANSWER_MS = 3000
const MAX_BYTES = 1 << 20

/** The recorder's status document, or undefined where it can't be had in time or isn't one. */
export function askRecorder(socketPath: string): Promise<RecorderStatus | undefined> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = []
    let length = 0
    const socket = connect(socketPath)
    const give = (status: RecorderStatus | undefined) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(status)
    }
    const timer = setTimeout(() => give(undefined), ANSWER_MS)
    socket.on('error', () => give(undefined))
    socket.on('data', (piece: Buffer) => {
      length += piece.length
      if (length > MAX_BYTES) give(undefined)
      else pieces.push(piece)
    })
    socket.on('end', () => {
      try {
        give(RecorderStatus.safeParse(JSON.parse(Buffer.concat(pieces).toString('utf8'))).data)
      } catch {
        give(undefined)
      }
    })
  })
}
