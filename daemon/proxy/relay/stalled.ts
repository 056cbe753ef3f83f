/** Whose silence an exchange ends with, and what its record says of that. */
import type { Outcome } from '../../recorder/protocol.ts'
import { ProxyError } from '../proxy-error.ts'
import { closed } from './failure.ts'

export interface Stalled {
  /** The provider's name. */
  readonly name: string
  /** The answer is what doesn't go on, and not the request. */
  readonly answering: boolean
  /** The agent has ended its side, or is not read: whether it is still there does not show. */
  readonly mayBeGone?: boolean
  /** What the agent's bytes wait for, where they are not read. */
  readonly waitsFor: 'provider' | 'recorder' | undefined
}

/** A request of which not even the head is there. */
export const headTimeout = () =>
  new ProxyError('request_timeout', 'the request head did not come to its end', 'Send the whole request.')

export function endOfPatience({ name, answering, mayBeGone, waitsFor }: Stalled): {
  readonly outcome: Outcome
  readonly error: ProxyError
} {
  if (answering) {
    const message = mayBeGone
      ? `the agent may be gone, and ${name} said nothing more`
      : 'the agent took nothing more of its answer'
    return {
      outcome: 'client-aborted',
      error: new ProxyError('answer_timeout', message, 'Read the whole answer.'),
    }
  }
  if (waitsFor === 'provider') {
    return { outcome: 'upstream-aborted', error: closed(`${name} took nothing more of the request`) }
  }
  if (waitsFor === 'recorder') {
    const message = 'this exchange can’t be recorded, so it is not forwarded: the recorder takes nothing more'
    const remedy = 'See `agent-anchor status` on this machine; try again once the recorder runs.'
    return { outcome: 'not-recorded', error: new ProxyError('recorder_unavailable', message, remedy) }
  }
  const error = new ProxyError('request_timeout', 'the request stopped coming', 'Send the whole request.')
  return { outcome: 'protocol-error', error }
}
