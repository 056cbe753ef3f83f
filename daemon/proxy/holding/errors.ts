/** What an agent is told where anchoring keeps its call from it, in the provider's own shape. */
import { callShape } from '../../../policies/call-shape.ts'
import type { WireStyle } from '../../../policies/catalogue-schema.ts'
import { ProxyError } from '../proxy-error.ts'
import { type Governed, recordRefusal, type Shared } from '../relay/facts.ts'
import { ShapedError } from '../shaped-error.ts'

const REMEDY = 'See `agent-anchor status` on this machine'

/** The provider has answered, and the answer must not be handed out. SDKs don't ask again by themselves at a 424. */
export const unanchored = ({ provider }: Governed, reason: string): ShapedError =>
  new ShapedError(
    'answer_not_anchored',
    `the provider answered, but the answer is not handed out: ${reason}`,
    `${REMEDY}; the call is recorded, and asking again is another call.`,
    provider.style,
  )

/** Leaves HTTP for something of which nobody can tell where an answer ends. @param name the provider's */
export const unholdable = (name: string): ProxyError =>
  new ProxyError(
    'unexpected_upgrade',
    `what ${name} switches to can't be held until it is anchored`,
    'Use plain HTTP or a WebSocket on a connection of its own.',
  )

/** Refuses a call that begins, and records that. @returns the error for the agent */
export function refuseForAnchoring(
  shared: Shared,
  governed: Governed,
  reason: string,
  call: { readonly method: string; readonly target: string },
): ShapedError {
  recordRefusal(shared, governed, 'anchoring/blocked', `anchoring_behind: ${reason}`)
  const style: WireStyle = callShape(call.method, call.target) ?? governed.provider.style
  return new ShapedError(
    'anchoring_behind',
    `no call is forwarded while anchoring is behind: ${reason}`,
    `${REMEDY}; try again once it has caught up.`,
    style,
  )
}
