/** What the recorder is told about anchoring at its start: the knobs in force, and the chains that count. */
import { z } from 'zod'
import { LEVELS } from '../../anchoring/level.ts'
import { PRESETS } from '../../anchoring/settings.ts'

export const AnchoringStart = z.object({
  preset: z.enum(PRESETS),
  acknowledge: z.enum(LEVELS),
  onFailure: z.union([z.enum(['queue', 'block']), z.object({ blockAfterMs: z.number().positive() })]),
  quorum: z.union([z.enum(['any', 'all']), z.int().positive()]),
  maxHoldMs: z.number().positive(),
  maxLagMs: z.number().positive(),
  /** Names of the chains that the quorum counts. */
  counted: z.array(z.string()),
  /** Verifier keys of the witnesses, and how many must cosign; absent where there are none. */
  witnesses: z.object({ keys: z.array(z.string()), atLeast: z.int().positive() }).optional(),
  /** The chains that count are no independent evidence: for trying out. */
  trial: z.boolean(),
})
export type AnchoringStart = z.infer<typeof AnchoringStart>
