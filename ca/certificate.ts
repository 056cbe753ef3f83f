/**
 * X.509 v3 certificates signed by an ECDSA P-256 key with SHA-256: the profile that `authority.ts` and `leaf.ts` fill.
 *
 * The schemas are @peculiar/asn1-x509 and the signature is node:crypto's: imported in 55 ms and 10 MB where
 * @peculiar/x509 takes 130 to 190 ms and 18 MB, and this runs in the supervisor.
 */
import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  Certificate,
  Extension,
  Extensions,
  KeyIdentifier,
  Name,
  RelativeDistinguishedName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509'

/** RFC 5758 §3.2; the parameters are absent. */
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
/** RFC 5280 appendix A: id-at-organizationName, id-at-commonName. */
const ORGANIZATION = '2.5.4.10'
const COMMON_NAME = '2.5.4.3'

/** Clients' clocks may lag: containers and virtual machines are an hour off at worst in practice. */
export const CLOCK_SKEW_MS = 3_600_000

export interface CertificateContent {
  readonly issuer: Name
  readonly subject: Name
  readonly notBefore: Date
  readonly notAfter: Date
  /** DER SubjectPublicKeyInfo of the subject */
  readonly publicKeySpki: Buffer
  readonly extensions: readonly Extension[]
}

/** The signed certificate as PEM, with a fresh random serial. `signer` is the issuer's P-256 private key. */
export function signCertificate(content: CertificateContent, signer: KeyObject): string {
  const algorithm = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 })
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: randomSerial(),
    signature: algorithm,
    issuer: content.issuer,
    validity: new Validity({ notBefore: content.notBefore, notAfter: content.notAfter }),
    subject: content.subject,
    subjectPublicKeyInfo: AsnConvert.parse(content.publicKeySpki, SubjectPublicKeyInfo),
    extensions: new Extensions([...content.extensions]),
  })
  const toBeSigned = Buffer.from(AsnConvert.serialize(tbsCertificate))
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm: algorithm,
    signatureValue: bytesOf(sign('sha256', toBeSigned, { key: signer, dsaEncoding: 'der' })),
  })
  return pemOf(Buffer.from(AsnConvert.serialize(certificate)))
}

export function extension(extnID: string, critical: boolean, value: unknown): Extension {
  return new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })
}

/** A distinguished name of organisation and, if given, common name (≤ 64 characters, RFC 5280 appendix A). */
export function distinguishedName(organization: string, commonName?: string): Name {
  const attributes: [string, string][] = [[ORGANIZATION, organization]]
  if (commonName !== undefined) attributes.push([COMMON_NAME, commonName])
  return new Name(
    attributes.map(
      ([type, utf8String]) =>
        new RelativeDistinguishedName([
          new AttributeTypeAndValue({ type, value: new AttributeValue({ utf8String }) }),
        ]),
    ),
  )
}

/** RFC 7093 §2 method 1: the leftmost 160 bits of SHA-256 over the subjectPublicKey bits. */
export function keyIdentifier(publicKeySpki: Buffer): ArrayBuffer {
  const { subjectPublicKey } = AsnConvert.parse(publicKeySpki, SubjectPublicKeyInfo)
  return bytesOf(createHash('sha256').update(new Uint8Array(subjectPublicKey)).digest().subarray(0, 20))
}

/** @param identifier the issuer's {@link keyIdentifier} */
export function authorityIdentifier(identifier: ArrayBuffer): AuthorityKeyIdentifier {
  return new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(identifier) })
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

/** 16 random bytes, positive and without a leading zero (RFC 5280 §4.1.2.2 allows up to 20). */
function randomSerial(): ArrayBuffer {
  const serial = randomBytes(16)
  serial[0] = (serial[0]! & 0x3f) | 0x40
  return bytesOf(serial)
}

function bytesOf(buffer: Buffer): ArrayBuffer {
  return new Uint8Array(buffer).buffer
}
