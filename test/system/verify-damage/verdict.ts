/** What `verify` says of a state directory. */
import { verifyStore } from '../../../cli/verification.ts'
import { AnchorError } from '../../../daemon/base/errors.ts'
import { type Finding, holds } from '../../../daemon/receipt/findings.ts'
import { evidenceOf, type Place } from './place.ts'

export interface Verdict {
  readonly holds: boolean
  /** All that was said. */
  readonly text: string
}

/** As the command does: an error is an answer too, but only one of ours, with its remedy. */
export async function verdict(place: Place): Promise<Verdict> {
  try {
    return verdictOf(await verifyStore(await evidenceOf(place)))
  } catch (error) {
    if (error instanceof AnchorError) return { holds: false, text: `${error.message}\n${error.remedy}` }
    throw error
  }
}

const verdictOf = (findings: readonly Finding[]): Verdict => ({
  holds: holds(findings),
  text: findings
    .filter(({ result }) => result !== 'proved')
    .map(({ detail }) => detail)
    .join('\n'),
})
