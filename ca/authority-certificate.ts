/** What a root of ours says of itself: read from its certificate, never assumed. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  Certificate,
  id_ce_nameConstraints,
  id_ce_subjectKeyIdentifier,
  type Name,
  NameConstraints,
  SubjectKeyIdentifier,
} from '@peculiar/asn1-x509'
import type { Authority, PermittedDomains } from './authority.ts'
import { CaError } from './ca-error.ts'

/**
 * The domains that a root may speak for, sorted: compare with the catalogue's to see whether the root
 * still fits.
 * @throws CaError `authority-damaged`
 */
export function permittedDomainsOf(certificatePem: string): PermittedDomains {
  return permittedDomains(parseRoot(certificatePem).root)
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

/** Certificate and key together, for who signs by them. @throws CaError `authority-damaged` */
export function openAuthority(authority: Authority): OpenAuthority {
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

function damaged(what: string, cause?: unknown): CaError {
  return new CaError(
    'authority-damaged',
    `the gateway's certificate authority is unusable: ${what}`,
    'Restore ca/ and keys/ca* from a backup, or remove them and install again to make a new authority.',
    cause,
  )
}
