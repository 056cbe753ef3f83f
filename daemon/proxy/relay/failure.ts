/** Errors of an exchange: what they are called in the record and in the answer. */
import { messageOf } from '../../base/errors.ts'
import type { Outcome } from '../../recorder/protocol.ts'
import { ProxyError, type ProxyErrorCode } from '../proxy-error.ts'

/** The provider's connection is gone. */
export const closed = (message: string) => new ProxyError('upstream_closed', message, 'Try again.')

const OUTCOMES: Partial<Record<ProxyErrorCode, Outcome>> = { upstream_untrusted: 'upstream-untrusted' }

/** How an exchange ended for which no connection could be had. */
export function outcomeOf(error: unknown): Outcome {
  return (error instanceof ProxyError ? OUTCOMES[error.code] : undefined) ?? 'upstream-unreachable'
}

const BLOCKED: readonly ProxyErrorCode[] = ['blocked_by_policy', 'anchoring_behind', 'answer_not_anchored']

/** How what an agent says ended that was cut. */
export const outcomeOfCut = (error: ProxyError): Outcome =>
  BLOCKED.includes(error.code) ? 'blocked' : 'protocol-error'

/** What isn't ours is a fault of the gateway; its text may be anything and stays out of the answer. */
export function asProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error
  return new ProxyError('internal', 'a fault of the gateway', 'Report it with the log of the daemon.', error)
}

/** The policy forwards nothing of which no record can be kept. */
export const unrecordable = (reason: string): ProxyError =>
  new ProxyError(
    'recorder_unavailable',
    `this exchange can't be recorded, so it is not forwarded: ${reason}`,
    'See `agent-anchor status` on this machine; try again once the recorder runs.',
  )

/** What the provider answers is not HTTP as it must be. @param name the provider's */
export const unreadableAnswer = (name: string, error: unknown): ProxyError =>
  new ProxyError(
    'upstream_protocol_error',
    `the answer of ${name} can't be forwarded: ${messageOf(error)}`,
    'Tell the provider.',
    error,
  )
