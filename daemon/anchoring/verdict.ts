/** What the state of anchoring means: for calls that begin now, for answers that are held, and for health. Pure. */
import type { Health } from '../base/health.ts'
import { needsHolding } from './level.ts'
import type { Anchoring } from './settings.ts'

export interface Lag {
  /** Age of the oldest leaf that isn't anchored; 0 where all are. */
  readonly ms: number
  /** Leaves that aren't anchored. */
  readonly leaves: bigint
}

export interface Situation {
  readonly lag: Lag
  /** How long the oldest leaf waits for the level that answers wait for, in milliseconds. */
  readonly waitedMs: number
  /** Why too few chains can be anchored on now; undefined where enough can. */
  readonly failing: string | undefined
}

type Knobs = Pick<Anchoring, 'acknowledge' | 'onFailure' | 'maxHoldMs' | 'maxLagMs'>

/** Why calls that begin now are refused; undefined where they aren't. */
export function blockedBy(knobs: Knobs, { lag, failing }: Situation): string | undefined {
  const { onFailure } = knobs
  if (onFailure === 'queue') return undefined
  if (onFailure === 'block' && failing !== undefined) return failing
  if (lag.ms <= blockAfter(knobs)) return undefined
  return `the oldest record without an anchor is ${seconds(lag.ms)} old, ${seconds(blockAfter(knobs))} are allowed`
}

/** `block` doesn't wait for a failure to be told where answers show it: held in vain for as long as they may be. */
function blockAfter({ acknowledge, onFailure, maxHoldMs, maxLagMs }: Knobs): number {
  if (typeof onFailure === 'object') return onFailure.blockAfterMs
  return needsHolding(acknowledge) ? Math.min(maxHoldMs, maxLagMs) : maxLagMs
}

/** Answers go out without their evidence: they may, and holding them would only be to wait in vain. */
export const letsGo = ({ onFailure, maxHoldMs }: Knobs, { waitedMs }: Situation): boolean =>
  onFailure === 'queue' && waitedMs > maxHoldMs

export function anchoringHealth(knobs: Knobs, situation: Situation): Health[] {
  const { lag } = situation
  const why = blockedBy(knobs, situation)
  if (why !== undefined) {
    return [
      {
        code: 'anchoring.blocked',
        severity: 'error',
        title: `New governed calls are refused: ${why}`,
        remedy:
          'See the states of the chains. Calls go on by themselves once anchoring does; `anchoring.onFailure: queue` refuses none.',
      },
    ]
  }
  if (lag.ms <= knobs.maxLagMs) return []
  const late = needsHolding(knobs.acknowledge) ? '; answers are no longer held for their anchors' : ''
  return [
    {
      code: 'anchoring.lag',
      severity: 'warning',
      title: `The oldest record without an anchor is ${seconds(lag.ms)} old (${lag.leaves} wait); the objective is ${seconds(knobs.maxLagMs)}${letsGo(knobs, situation) ? late : ''}`,
      remedy: 'See the states of the chains. Recording goes on; one anchor catches up with everything.',
    },
  ]
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`
