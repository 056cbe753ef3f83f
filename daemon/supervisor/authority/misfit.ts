/** How the CA differs from what the policy in force needs of it. Pure. */
import { X509Certificate } from 'node:crypto'
import type { PermittedDomains } from '../../../ca/authority.ts'
import { permittedDomainsOf } from '../../../ca/authority-certificate.ts'
import { isWithin } from '../../../ca/host-name.ts'
import { permittedDomains } from '../../../policies/catalogue.ts'
import type { Rules } from '../../../policies/policy.ts'
import type { Authorities } from './store.ts'

export interface Misfit {
  /** Domains that it may not speak for: the catalogue has grown, or the policy intercepts more, since it was made. */
  readonly outgrown: readonly string[]
  /** It may speak for every site, though the policy no longer needs that: a stolen key would be worth too much. */
  readonly tooWide: boolean
  /** It isn't valid now, or ends soon. */
  readonly ended: boolean
}

/** Installs are repeated for other reasons every few months; a CA gets its successor at the last one before its end. */
const ENDS_SOON_MS = 365 * 86_400_000

/** What the CA has to speak for. */
export const governedDomains = ({
  policy,
  catalogue,
}: Pick<Rules, 'policy' | 'catalogue'>): PermittedDomains =>
  policy.proxy.unknownName === 'intercept' ? 'every' : permittedDomains(catalogue)

/** Of a rotation under way it is the successor that counts. */
export function misfit(
  { inOrder, rotation }: Pick<Authorities, 'inOrder' | 'rotation'>,
  domains: PermittedDomains,
  now: Date,
): Misfit {
  const newest = rotation?.to ?? inOrder[0]
  if (newest === undefined) return { outgrown: [], tooWide: false, ended: true }
  const { validFromDate, validToDate } = new X509Certificate(newest.certificatePem)
  const ended = now < validFromDate || validToDate.getTime() - now.getTime() < ENDS_SOON_MS
  const permitted = permittedDomainsOf(newest.certificatePem)
  if (permitted === 'every') return { outgrown: [], tooWide: domains !== 'every', ended }
  if (domains === 'every') return { outgrown: ['every other site'], tooWide: false, ended }
  const covered = (name: string) => permitted.some((domain) => isWithin(name, domain))
  return { outgrown: domains.filter((domain) => !covered(domain)), tooWide: false, ended }
}

export const needsRenewal = ({ outgrown, tooWide, ended }: Misfit): boolean =>
  outgrown.length > 0 || tooWide || ended
