/**
 * The gateway's certificate authority: one self-signed root on a machine, by whose leaves (leaf.ts) the proxy answers for
 * governed hosts.
 *
 * Threat model: every client on the machine trusts this root, so a stolen key must be worth little. The
 * root is limited by critical name constraints to the governed domains, excludes every IP address, and
 * can't sign another authority.
 */
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto'
import {
  BasicConstraints,
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_subjectKeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  NameConstraints,
  SubjectKeyIdentifier,
} from '@peculiar/asn1-x509'
import { AUTHORITY_NAME, ORGANIZATION } from './authority-name.ts'
import { CaError } from './ca-error.ts'
import {
  authorityIdentifier,
  CLOCK_SKEW_MS,
  distinguishedName,
  extension,
  keyIdentifier,
  signCertificate,
} from './certificate.ts'
import { parseHostName } from './host-name.ts'

const AUTHORITY_YEARS = 10
/** RFC 5280 §4.2.1.10: an address with its mask; the all-zero mask covers the whole family. */
const EVERY_ADDRESS = ['0.0.0.0/0', '::/0']

/** The domains that a root may speak for (each with its subdomains), or every name: only for a policy that intercepts all. */
export type PermittedDomains = readonly string[] | 'every'

export interface Authority {
  readonly certificatePem: string
  /** PKCS#8 PEM. Secret: sealed at rest, held by the supervisor only. */
  readonly privateKeyPem: string
}

/**
 * A new root for `permittedDomains` (each covers its subdomains), valid ten years from `now`.
 * Its common name ends in random digits, so that two roots never share a subject.
 * @throws CaError `no-permitted-domains`: an empty list would mean "any name", not "none";
 *   `name-malformed` for a domain of one label or otherwise unfit
 */
export async function createAuthority(wish: {
  permittedDomains: PermittedDomains
  now: Date
}): Promise<Authority> {
  const domains =
    wish.permittedDomains === 'every'
      ? wish.permittedDomains
      : [...new Set(wish.permittedDomains.map(parseHostName))].sort()
  if (domains.length === 0) {
    throw new CaError(
      'no-permitted-domains',
      'a certificate authority without permitted domains would be trusted for every site',
      'Add at least one provider with a host to the catalogue (providers.yaml).',
    )
  }
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const publicKeySpki = publicKey.export({ type: 'spki', format: 'der' })
  const subject = distinguishedName(ORGANIZATION, `${AUTHORITY_NAME} ${randomBytes(4).toString('hex')}`)
  const identifier = keyIdentifier(publicKeySpki)
  const notAfter = new Date(wish.now)
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + AUTHORITY_YEARS)
  const certificatePem = signCertificate(
    {
      issuer: subject,
      subject,
      notBefore: new Date(wish.now.getTime() - CLOCK_SKEW_MS),
      notAfter,
      publicKeySpki,
      extensions: [
        extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: true, pathLenConstraint: 0 })),
        extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)),
        extension(id_ce_nameConstraints, true, constraintsTo(domains)),
        extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(identifier)),
        // Python 3.13 (VERIFY_X509_STRICT) refuses a root without the identifiers or keyUsage.
        extension(id_ce_authorityKeyIdentifier, false, authorityIdentifier(identifier)),
      ],
    },
    privateKey,
  )
  return { certificatePem, privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

/** When one that {@link createAuthority} made was made. */
export const authorityMadeAt = (certificatePem: string): Date =>
  new Date(new X509Certificate(certificatePem).validFromDate.getTime() + CLOCK_SKEW_MS)

function constraintsTo(domains: PermittedDomains): NameConstraints {
  const permitted = (domains === 'every' ? [] : domains).map(
    (dNSName) => new GeneralSubtree({ base: new GeneralName({ dNSName }) }),
  )
  return new NameConstraints({
    // RFC 5280 §4.2.1.10: without permitted subtrees every name that isn't excluded is permitted.
    ...(permitted.length === 0 ? {} : { permittedSubtrees: new GeneralSubtrees(permitted) }),
    excludedSubtrees: new GeneralSubtrees(
      EVERY_ADDRESS.map((iPAddress) => new GeneralSubtree({ base: new GeneralName({ iPAddress }) })),
    ),
  })
}
