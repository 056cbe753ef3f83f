/** Since when the newest of the CA's certificates is trusted on this machine: who began before may not know it. Pure. */
import { authorityMadeAt } from '../../../ca/authority.ts'
import type { Taken } from './history.ts'

export interface Introduced {
  /** Milliseconds since the epoch, as below. */
  readonly time: number
  /** It is the first of this gateway's. */
  readonly first: boolean
  /** Since when it signs; absent where it is yet to. */
  readonly signsFrom?: number
}

/**
 * @param steps of the CA's rotations, in their order
 * @param certificatePem of the CA that signs
 */
export function introducedAt(steps: readonly Taken[], certificatePem: string): Introduced {
  const takenBack = new Set(steps.filter(({ step }) => step === 'aborted').map(({ to }) => to))
  const last = steps.findLast(({ step, to }) => step === 'distributed' && !takenBack.has(to))
  if (last === undefined) {
    const time = authorityMadeAt(certificatePem).getTime()
    return { time, first: true, signsFrom: time }
  }
  const signs = steps.find(({ step, to }) => step === 'signing' && to === last.to)
  return {
    time: Date.parse(last.time),
    first: false,
    ...(signs === undefined ? {} : { signsFrom: Date.parse(signs.time) }),
  }
}
