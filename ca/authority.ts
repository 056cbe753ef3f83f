/**
 * The gateway's certificate authority: one self-signed root on a machine, and the leaves with which the
 * proxy answers for governed hosts.
 *
 * Threat model: every client on the machine trusts this root, so a stolen key must be worth little. The
 * root is limited by critical name constraints to the governed domains, excludes every IP address, and
 * can't sign another authority. `issueLeaf` is asked by an unprivileged worker with a name from the
 * network: it refuses what the constraints exclude, rather than sign what only some clients would refuse
 * (Java doesn't).
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  type Name,
  NameConstraints,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
} from '@peculiar/asn1-x509'
import { AUTHORITY_NAME } from './authority-name.ts'
import { CaError } from './ca-error.ts'
import { distinguishedName, extension, keyIdentifier, signCertificate } from './certificate.ts'
import { isWithin, parseHostName } from './host-name.ts'

const ORGANIZATION = 'Agent Anchor Gateway'
/** Clients' clocks may lag: containers and virtual machines are an hour off at worst in practice. */
const CLOCK_SKEW_MS = 3_600_000
const AUTHORITY_YEARS = 10
/**
 * 30 days, the skew included. Apple refuses server certificates longer than 825 days even below private
 * roots (support.apple.com/103769), Chromium's limit for public ones is 398 and falling: 30 is below all.
 */
const LEAF_LIFETIME_MS = 30 * 86_400_000
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
      'If it is a provider, add its host to the catalogue and restart: the authority is then made anew.',
    )
  }
  const now = wish.now.getTime()
  const rootStart = certificate.validFromDate.getTime()
  const rootEnd = certificate.validToDate.getTime()
  if (!(now >= rootStart && now < rootEnd)) {
    throw new CaError(
      'authority-not-valid-now',
      `the gateway's certificate authority is valid from ${certificate.validFrom} to ${certificate.validTo}`,
      "Set the machine's clock right, or if the authority has run out, make a new one by installing again.",
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

/**
 * The domains that a root may speak for, sorted: compare with the catalogue's to see whether the root
 * still fits.
 * @throws CaError `authority-damaged`
 */
export function permittedDomainsOf(certificatePem: string): PermittedDomains {
  return permittedDomains(parseRoot(certificatePem).root)
}

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

function authorityIdentifier(identifier: ArrayBuffer): AuthorityKeyIdentifier {
  return new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(identifier) })
}

function permittedDomains(root: Certificate): PermittedDomains {
  const constraints = parseExtension(root, id_ce_nameConstraints, NameConstraints)
  if (constraints.permittedSubtrees === undefined) return 'every'
  const names = Array.from(constraints.permittedSubtrees, (subtree) => subtree.base.dNSName)
  const domains = names.filter((name) => name !== undefined)
  if (domains.length === 0) throw damaged('its certificate permits no domains')
  return domains.sort()
}

function identifierOf(root: Certificate): ArrayBuffer {
  return parseExtension(root, id_ce_subjectKeyIdentifier, SubjectKeyIdentifier).buffer
}

function parseExtension<T>(root: Certificate, oid: string, type: new () => T): T {
  const found = root.tbsCertificate.extensions?.find((candidate) => candidate.extnID === oid)
  if (found === undefined) throw damaged(`its certificate lacks the extension ${oid}`)
  try {
    return AsnConvert.parse(found.extnValue.buffer, type)
  } catch (cause) {
    throw damaged(`its certificate's extension ${oid} is malformed`, cause)
  }
}

function parseRoot(certificatePem: string): { root: Certificate; certificate: X509Certificate } {
  try {
    const certificate = new X509Certificate(certificatePem)
    return { certificate, root: AsnConvert.parse(certificate.raw, Certificate) }
  } catch (cause) {
    throw damaged('its certificate is malformed', cause)
  }
}

interface OpenAuthority {
  readonly certificate: X509Certificate
  readonly issuer: Name
  readonly issuerIdentifier: ArrayBuffer
  readonly domains: PermittedDomains
  readonly signer: KeyObject
}

/** Parsing a root with a hundred constraints costs more than signing: once an authority is enough. */
const opened = new WeakMap<Authority, OpenAuthority>()

function openAuthority(authority: Authority): OpenAuthority {
  const known = opened.get(authority)
  if (known !== undefined) return known
  const { root, certificate } = parseRoot(authority.certificatePem)
  let signer: KeyObject
  try {
    signer = createPrivateKey(authority.privateKeyPem)
  } catch {
    // No cause: a parser's message must never carry a piece of the key.
    throw damaged('its private key is malformed')
  }
  if (!certificate.checkPrivateKey(signer)) {
    throw damaged('its certificate and private key do not belong together')
  }
  const fresh = {
    certificate,
    issuer: root.tbsCertificate.subject,
    issuerIdentifier: identifierOf(root),
    domains: permittedDomains(root),
    signer,
  }
  opened.set(authority, fresh)
  return fresh
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

function damaged(what: string, cause?: unknown): CaError {
  return new CaError(
    'authority-damaged',
    `the gateway's certificate authority is unusable: ${what}`,
    'Restore ca/ca.crt and keys/ca.sealed from a backup, or remove both and install again to make a new authority.',
    cause,
  )
}
