/** `anchoring` of gateway.yaml: a preset, and each knob that is to differ from it. */
import { z } from 'zod'
import { contradictions, type Surroundings } from '../anchoring/contradictions.ts'
import { LEVELS } from '../anchoring/level.ts'
import { type AnchoringConfig, PRESETS } from '../anchoring/settings.ts'

const DAY_MS = 86_400_000
const milliseconds = z.int().min(1000).max(DAY_MS)
const lag = z
  .int()
  .min(1000)
  .max(30 * DAY_MS)

export const AnchoringSchema = z
  .strictObject({
    preset: z.enum(PRESETS).default('bounded'),
    acknowledge: z.enum(LEVELS).exactOptional(),
    maxDelayMs: milliseconds.exactOptional(),
    maxLeaves: z.int().min(1).max(1_000_000).exactOptional(),
    onFailure: z
      .union(
        [z.enum(['queue', 'block']), z.strictObject({ blockAfterMs: lag })],
        '`onFailure` must be `queue`, `block`, or `{ blockAfterMs: … }`, from 1000 on',
      )
      .exactOptional(),
    quorum: z
      .union(
        [z.enum(['any', 'all']), z.int().min(1).max(16)],
        '`quorum` must be `any`, `all`, or a number of chains',
      )
      .exactOptional(),
    maxHoldMs: milliseconds.exactOptional(),
    maxLagMs: lag.exactOptional(),
  })
  .prefault({})

/** What of the rest of the configuration it has to agree with. */
export interface Around {
  readonly anchoring: AnchoringConfig
  readonly chains: Surroundings['chains']
  readonly recording: Pick<Surroundings, 'durability'>
  readonly ledger: { readonly witnesses?: { readonly of: readonly unknown[] } }
}

export function possibleAnchoring(
  { anchoring, chains, recording, ledger }: Around,
  context: z.RefinementCtx,
): void {
  const witnesses = ledger.witnesses?.of.length ?? 0
  const around = { chains, witnesses, durability: recording.durability }
  for (const { key, message } of contradictions(anchoring, around)) {
    context.addIssue({ code: 'custom', path: ['anchoring', key], message })
  }
}
