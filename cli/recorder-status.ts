/** The recorder's status document, as far as the commands read it, and how it is had. */
import { connect } from 'node:net'
import { z } from 'zod'
import { Health } from '../daemon/base/health.ts'

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
  health: z.array(Health).optional(),
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
  captured: z
    .object({
      total: z.number(),
      lately: z.number(),
      agents: z.number(),
      counting: z.boolean(),
      last: z.object({ time: z.string(), provider: z.string() }).optional(),
    })
    .optional(),
  bodyBytes: z.number().optional(),
  disk: z
    .object({ free: z.number(), total: z.number(), reserve: z.number(), fullAt: z.string().optional() })
    .optional(),
  chain: z.object({ chains: z.array(ChainStatus) }).optional(),
  anchoring: AnchoringStatus.optional(),
  health: z.array(Health),
})
export type RecorderStatus = z.infer<typeof RecorderStatus>

/** Long enough for a busy one; nobody wants to wait for one that hangs. */
const ANSWER_MS = 1500
const MAX_BYTES = 1 << 20

/** Why there is no answer: nobody listens, none came in time, the system forbids to ask, or it isn't understood. */
export type Silence = 'gone' | 'late' | 'forbidden' | 'unknown'

/** The recorder's status document, or why it can't be had. */
export function askRecorder(socketPath: string): Promise<RecorderStatus | Silence> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = []
    let length = 0
    const socket = connect(socketPath)
    const give = (answer: RecorderStatus | Silence) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answer)
    }
    const timer = setTimeout(() => give('late'), ANSWER_MS)
    socket.on('error', ({ code }: NodeJS.ErrnoException) =>
      give(code === 'EACCES' || code === 'EPERM' ? 'forbidden' : 'gone'),
    )
    socket.on('data', (piece: Buffer) => {
      length += piece.length
      if (length > MAX_BYTES) give('unknown')
      else pieces.push(piece)
    })
    socket.on('end', () => give(parsed(Buffer.concat(pieces).toString('utf8')) ?? 'unknown'))
  })
}

function parsed(text: string): RecorderStatus | undefined {
  try {
    return RecorderStatus.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
