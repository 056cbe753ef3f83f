/** What the state of the CA means for health; pure. */
import type { Health } from '../../daemon/base/health.ts'
import type { AuthorityState } from '../../daemon/supervisor/authority/authority-state.ts'

const ROTATE = 'agent-anchor trust rotate'
const DAY_MS = 86_400_000
/** As long before its end: time for the overlap, and for programs to be started anew. */
const WARNED_MS = 30 * DAY_MS

export function authorityHealth(
  { certificates, outgrown, tooWide, rotation }: AuthorityState,
  now: Date,
): Health[] {
  const found: Health[] = []
  const at = now.getTime()
  const ahead = certificates.every(({ notBefore }) => at < Date.parse(notBefore))
  const valid = certificates.filter(
    ({ notBefore, notAfter }) => at >= Date.parse(notBefore) && at < Date.parse(notAfter),
  )
  const [first] = certificates
  if (first !== undefined && valid.length === 0 && ahead) {
    found.push({
      code: 'ca.not-yet-valid',
      severity: 'error',
      title: `By this machine's clock (${now.toISOString()}) the CA is not valid before ${first.notBefore}: governed calls fail`,
      remedy: `Set the clock right (timedatectl). If it is right, the CA was made by a wrong one: ${ROTATE}`,
    })
  } else if (first !== undefined && valid.length === 0) {
    found.push({
      code: 'ca.expired',
      severity: 'error',
      title: `The CA ended at ${first.notAfter}: governed calls fail`,
      remedy: `Run ${ROTATE}, then ${ROTATE} --switch; or set the clock right, if it is ahead.`,
    })
  }
  const ends = Math.max(...valid.map(({ notAfter }) => Date.parse(notAfter)))
  if (valid.length > 0 && ends - at < WARNED_MS) {
    found.push({
      code: 'ca.expiring',
      severity: 'warning',
      title: `The CA ends at ${new Date(ends).toISOString()}: governed calls fail from then on`,
      remedy: `Run ${ROTATE}: its successor signs when programs have had time to learn it.`,
    })
  }
  if (outgrown.length > 0) {
    found.push({
      code: 'ca.outgrown',
      severity: 'error',
      title: `The CA may not speak for ${outgrown.join(', ')}: calls there fail`,
      remedy: `Catalogue or policy have grown since it was made: run ${ROTATE}, which makes one that fits and drops no connection.`,
    })
  }
  if (tooWide) {
    found.push({
      code: 'ca.too-wide',
      severity: 'warning',
      title: 'The CA may speak for every site, which the policy no longer needs',
      remedy: `Run ${ROTATE}: it makes one for the governed domains only.`,
    })
  }
  if (rotation?.step === 'introduced') {
    found.push({
      code: 'ca.not-distributed',
      severity: 'warning',
      title: `The CA's successor, made at ${rotation.since}, is not in every trust store yet`,
      remedy: `Run ${ROTATE} again: it goes on where it was interrupted. To take it back: ${ROTATE} --abort`,
    })
  }
  if (rotation?.step === 'signing') {
    found.push({
      code: 'ca.former-trusted',
      severity: at < Date.parse(rotation.due) ? 'info' : 'warning',
      title: `The CA's successor signs since ${rotation.since}; the former one is still trusted`,
      remedy: `When no program refuses it (agent-anchor doctor): ${ROTATE} --finish`,
    })
  }
  return found
}
