/**
 * The public key infrastructure of the laboratory's internet: a root, an intermediate that signs the
 * sites' certificates, and the bad ones that a client must refuse. Made anew for each laboratory.
 */
import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { CertificateKind } from './messages.ts'

/** What a TLS server shows: its chain (leaf first, without the root) and the leaf's key, both PEM. */
export interface Credentials {
  readonly cert: string
  readonly key: string
}

export interface Pki {
  /** The root certificate (PEM), which the laboratory trusts. */
  readonly root: string
  /** @param addresses that stand in a good certificate beside the name */
  issue(name: string, kind: CertificateKind, addresses?: readonly string[]): Promise<Credentials>
}

interface Authority {
  readonly certificate: x509.X509Certificate
  readonly privateKey: webcrypto.CryptoKey
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const day = 86_400_000

export async function createPki(now = new Date()): Promise<Pki> {
  const root = await createAuthority('Laboratory Root', now)
  const intermediate = await createAuthority('Laboratory Intermediate', now, root)
  const stranger = await createAuthority('Stranger Root', now)
  return {
    root: root.certificate.toString('pem'),
    issue: async (name, kind, addresses) => {
      switch (kind) {
        case 'good':
          return issueLeaf(name, intermediate, now, addresses)
        case 'expired':
          return issueLeaf(name, intermediate, new Date(now.getTime() - 60 * day))
        case 'wrong-name':
          return issueLeaf(`not-${name}`, intermediate, now)
        case 'unknown-root':
          return issueLeaf(name, stranger, now)
        case 'self-signed':
          return selfSign(name, now)
      }
    },
  }
}

async function createAuthority(name: string, now: Date, issuer?: Authority): Promise<Authority> {
  const keys = await newKeys()
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${name}`,
    issuer: issuer?.certificate.subject ?? `CN=${name}`,
    notBefore: new Date(now.getTime() - 90 * day),
    notAfter: new Date(now.getTime() + 90 * day),
    publicKey: keys.publicKey,
    signingKey: issuer?.privateKey ?? keys.privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer?.certificate.publicKey ?? keys.publicKey),
    ],
  })
  return { certificate, privateKey: keys.privateKey }
}

async function issueLeaf(
  name: string,
  issuer: Authority,
  from: Date,
  addresses: readonly string[] = [],
): Promise<Credentials> {
  const keys = await newKeys()
  const certificate = await x509.X509CertificateGenerator.create({
    ...(await leafFields(name, keys, from)),
    // As it is encoded: a name in another kind of string is another name.
    issuer: issuer.certificate.subjectName,
    signingKey: issuer.privateKey,
    extensions: [
      ...(await leafExtensions(name, keys, addresses)),
      new x509.AuthorityKeyIdentifierExtension(identifierOf(issuer.certificate)),
    ],
  })
  const isRoot = issuer.certificate.subject === issuer.certificate.issuer
  const chain = isRoot ? [certificate] : [certificate, issuer.certificate]
  return { cert: chain.map((each) => each.toString('pem')).join('\n'), key: await keyPem(keys) }
}

/** As it calls itself: there is more than one way to make an identifier of a key. */
function identifierOf(certificate: x509.X509Certificate): string {
  const extension = certificate.getExtension(x509.SubjectKeyIdentifierExtension)
  if (extension === null) throw new Error(`${certificate.subject} has no key identifier`)
  return extension.keyId
}

/**
 * A certificate for any name by an authority that isn't this internet's own.
 * @param authority its certificate and its P-256 key (PKCS#8), both PEM
 */
export async function issueBelow(authority: Credentials, name: string): Promise<Credentials> {
  const certificate = new x509.X509Certificate(authority.cert)
  const der = x509.PemConverter.decodeFirst(authority.key)
  const privateKey = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign'])
  return issueLeaf(name, { certificate, privateKey }, new Date())
}

async function selfSign(name: string, now: Date): Promise<Credentials> {
  const keys = await newKeys()
  const certificate = await x509.X509CertificateGenerator.create({
    ...(await leafFields(name, keys, now)),
    issuer: `CN=${name}`,
    signingKey: keys.privateKey,
    extensions: await leafExtensions(name, keys),
  })
  return { cert: certificate.toString('pem'), key: await keyPem(keys) }
}

async function leafFields(name: string, keys: webcrypto.CryptoKeyPair, from: Date) {
  return {
    serialNumber: serialNumber(),
    subject: `CN=${name}`,
    notBefore: new Date(from.getTime() - day),
    notAfter: new Date(from.getTime() + 30 * day),
    publicKey: keys.publicKey,
    signingAlgorithm: algorithm,
  }
}

async function leafExtensions(
  name: string,
  keys: webcrypto.CryptoKeyPair,
  addresses: readonly string[] = [],
): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
    new x509.SubjectAlternativeNameExtension([
      { type: 'dns', value: name },
      ...addresses.map((value) => ({ type: 'ip' as const, value })),
    ]),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
  ]
}

/** Positive and 16 bytes long, as RFC 5280 section 4.1.2.2 asks. */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x7f) | 0x40
  return bytes.toString('hex')
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

async function keyPem(keys: webcrypto.CryptoKeyPair): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  return `-----BEGIN PRIVATE KEY-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`
}
