/** How much of the log a chain has, and whether it takes more: what the recorder decides by. Pure. */
import type { Health } from '../base/health.ts'
import type { HealthCode } from '../base/health-codes.ts'
import { type Anchor, FINALITIES, type Finality } from './anchors.ts'

export interface ChainStanding {
  /** Leaves of the newest tree at each level or beyond it, decimal. */
  readonly sizes: Readonly<Record<'submitted' | Finality, string>>
  /** Why the chain takes no anchor now; absent where nothing is known to be in the way. */
  readonly failing?: string
}

/** What went wrong once, and doesn't keep the next anchor from the chain; and what only says that it is late. */
const BESIDE_THE_POINT = new Set<HealthCode>([
  'chain.lost-anchors',
  'chain.state-damaged',
  'chain.behind',
  'chain.endpoint-unwell',
  'chain.not-final',
])
/** The chain contradicts the log: nothing that it has is evidence for it. */
const CONTRADICTIONS = new Set<HealthCode>(['chain.equivocation', 'chain.checkpoint-conflict'])

export function standingOf(of: {
  readonly anchors: readonly Pick<Anchor, 'size' | 'finality'>[]
  /** Leaves of the tree whose anchor is in flight. */
  readonly pending: string | undefined
  readonly health: readonly Health[]
}): ChainStanding {
  const { anchors, pending, health } = of
  const contradicts = health.some(({ code }) => CONTRADICTIONS.has(code))
  const has = (finality: Finality): string =>
    anchors.findLast((one) => FINALITIES.indexOf(one.finality) >= FINALITIES.indexOf(finality))?.size ?? '0'
  const known = contradicts ? { included: '0', safe: '0', finalized: '0' } : undefined
  const sizes = known ?? { included: has('included'), safe: has('safe'), finalized: has('finalized') }
  const submitted = contradicts ? '0' : (pending ?? sizes.included)
  const wrong = health.find(({ severity, code }) => severity !== 'info' && !BESIDE_THE_POINT.has(code))
  return { sizes: { submitted, ...sizes }, ...(wrong ? { failing: wrong.title } : {}) }
}
