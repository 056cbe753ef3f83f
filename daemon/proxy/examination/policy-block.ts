/** A request that a rule blocks. */
import type { WireStyle } from '../../../policies/catalogue-schema.ts'
import { ShapedError } from '../shaped-error.ts'
import type { Judged } from './judged.ts'

export class PolicyBlock extends ShapedError {
  /** @param style of the call, for the answer */
  constructor({ rule = '', found = [], unknown = [] }: Judged, style: WireStyle) {
    const why = [
      found.length > 0 ? `it holds ${found.join(', ')}` : '',
      unknown.length > 0 ? `this could not be told or done: ${unknown.join(', ')}` : '',
    ]
    super(
      'blocked_by_policy',
      [`the rule ${rule} of this machine's policy blocks it`, ...why].filter(Boolean).join('; '),
      `Ask this machine's administrator, who can see why: agent-anchor policy explain.`,
      style,
    )
  }
}
