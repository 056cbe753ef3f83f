/**
 * The certificates that the proxy shows for governed hosts.
 *
 * Threat model: an unprivileged worker asks, with a name from the network. What the authority's constraints exclude is
 * refused here, rather than signed for those clients that wouldn't refuse it (Java doesn't).
 */
import { createPublicKey } from 'node:crypto'
import {
  BasicConstraints,
  ExtendedKeyUsage,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_serverAuth,
  KeyUsage,
  KeyUsageFlags,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
} from '@peculiar/asn1-x509'
import type { Authority } from './authority.ts'
import { openAuthority } from './authority-certificate.ts'
import { ORGANIZATION } from './authority-name.ts'
import { CaError } from './ca-error.ts'
import {
  authorityIdentifier,
  CLOCK_SKEW_MS,
  distinguishedName,
  extension,
  keyIdentifier,
  signCertificate,
} from './certificate.ts'
import { isWithin, parseHostName } from './host-name.ts'

/**
 * 30 days, the skew included. Apple refuses server certificates longer than 825 days even below private
 * roots (support.apple.com/103769), Chromium's limit for public ones is 398 and falling: 30 is below all.
 */
const LEAF_LIFETIME_MS = 30 * 86_400_000

/**
 * A TLS server certificate for `name` and the P-256 key `publicKeySpki` (DER), at most 30 days long and
 * never beyond the root's end. Returns the chain: the leaf's PEM, then the root's.
 * @throws CaError `name-malformed`, `name-outside-constraints`, `public-key-unsuitable`,
 *   `authority-damaged` (certificate and key don't belong together, or it has no name constraints),
 *   `authority-not-valid-now`
 */
export async function issueLeaf(
  authority: Authority,
  wish: { name: string; publicKeySpki: Buffer; now: Date },
): Promise<string> {
  const name = parseHostName(wish.name)
  const publicKeySpki = suitablePublicKey(wish.publicKeySpki)
  const { certificate, issuer, issuerIdentifier, domains, signer } = openAuthority(authority)
  if (domains !== 'every' && !domains.some((domain) => isWithin(name, domain))) {
    throw new CaError(
      'name-outside-constraints',
      `${name} is outside the domains that the gateway's certificate authority may speak for`,
      'If it is a provider, add its host to the catalogue, then run agent-anchor trust rotate.',
    )
  }
  const now = wish.now.getTime()
  const rootStart = certificate.validFromDate.getTime()
  const rootEnd = certificate.validToDate.getTime()
  if (!(now >= rootStart && now < rootEnd)) {
    throw new CaError(
      'authority-not-valid-now',
      `the gateway's certificate authority is valid from ${certificate.validFrom} to ${certificate.validTo}`,
      "Set the machine's clock right, or if the authority has run out: agent-anchor trust rotate.",
    )
  }
  const notBefore = Math.max(now - CLOCK_SKEW_MS, rootStart)
  const leaf = signCertificate(
    {
      issuer,
      // No common name: it is limited to 64 characters, and clients read the subjectAltName (RFC 9525 §2).
      subject: distinguishedName(ORGANIZATION),
      notBefore: new Date(notBefore),
      notAfter: new Date(Math.min(notBefore + LEAF_LIFETIME_MS, rootEnd)),
      publicKeySpki,
      extensions: [
        extension(id_ce_basicConstraints, true, new BasicConstraints()),
        extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)),
        extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([id_kp_serverAuth])),
        extension(
          id_ce_subjectAltName,
          false,
          new SubjectAlternativeName([new GeneralName({ dNSName: name })]),
        ),
        extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(keyIdentifier(publicKeySpki))),
        extension(id_ce_authorityKeyIdentifier, false, authorityIdentifier(issuerIdentifier)),
      ],
    },
    signer,
  )
  return `${leaf}${certificate.toString()}`
}

/** The key re-encoded by OpenSSL, so that nothing but a P-256 point gets into the certificate. */
function suitablePublicKey(spki: Buffer): Buffer {
  try {
    const key = createPublicKey({ key: spki, type: 'spki', format: 'der' })
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1')
      return key.export({ type: 'spki', format: 'der' })
  } catch (cause) {
    throw unsuitableKey(cause)
  }
  throw unsuitableKey()
}

function unsuitableKey(cause?: unknown): CaError {
  return new CaError(
    'public-key-unsuitable',
    'the public key for a leaf certificate is not a P-256 key in DER SubjectPublicKeyInfo form',
    "Restart the gateway: its proxy worker sent a key that it can't have made.",
    cause,
  )
}
