/** Whether this machine's clock is right: by the system's own word, and by what providers said the time was. Pure. */
import type { Check } from './check.ts'

/** The `Date` of a provider's answer, RFC 9110 section 6.6.1. */
export interface Heard {
  readonly server: string
  /** Milliseconds since the epoch, of whole seconds. */
  readonly said: number
  /** When it came, by this machine's clock. */
  readonly came: number
}

/** What the system says of itself; `unknown`: there is nobody to ask. */
export type Kept = 'yes' | 'no' | 'unknown'

/** Leaves of certificates are made an hour early; records and anchors are compared to the second. */
const MOST_SECONDS = 5

const REMEDY = 'sudo timedatectl set-ntp true'

export function clockCheck(kept: Kept, heard: readonly Heard[]): Check {
  const check = 'clock'
  const skew = skewOf(heard)
  if (skew !== undefined && Math.abs(skew.seconds) >= MOST_SECONDS) {
    const way = skew.seconds > 0 ? 'ahead of' : 'behind'
    return {
      ...{ check, result: 'attention' },
      detail: `${Math.abs(skew.seconds)} s ${way} ${skew.server}, by the dates of its answers: times in records are off by that`,
      remedy: kept === 'yes' ? 'Find out what sets the clock: timedatectl timesync-status' : REMEDY,
    }
  }
  const measured = skew && `within ${MOST_SECONDS} s of ${skew.server}, by the dates of its answers`
  if (kept === 'no') {
    const detail = measured
      ? `${measured}, but nothing keeps it so`
      : 'not synchronised: times in records are worth little'
    return { check, result: 'attention', detail, remedy: REMEDY }
  }
  const word = kept === 'yes' ? 'kept by the network’s time' : undefined
  if (word === undefined && measured === undefined) {
    const detail = 'no systemd here that tells whether it is kept, and no provider answered in the last day'
    return { check, result: 'attention', detail }
  }
  return { check, result: 'held', detail: [word, measured].filter(Boolean).join(', ') }
}

/** The middle of them: single answers come late, or from somewhere that is off itself. */
function skewOf(heard: readonly Heard[]): { readonly server: string; readonly seconds: number } | undefined {
  const sorted = heard
    .map(({ server, said, came }) => ({ server, off: came - said - 500 }))
    .sort((a, b) => a.off - b.off)
  const middle = sorted[sorted.length >> 1]
  return middle && { server: middle.server, seconds: Math.round(middle.off / 1000) }
}
