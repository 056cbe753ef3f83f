/** Certificates for several names, of a root made for the test. */
import 'reflect-metadata'
import { randomBytes, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY = 86_400_000

export interface Shown {
  readonly cert: string
  readonly key: string
}

export interface Root {
  readonly pem: string
  /** @param days from now until it ends */
  leaf(names: readonly string[], days?: number): Promise<Shown>
}

export async function makeRoot(name: string): Promise<Root> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    ...fields(10),
    keys,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  })
  return {
    pem: root.toString('pem'),
    async leaf(names, days = 10) {
      const own = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
      const leaf = await x509.X509CertificateGenerator.create({
        subject: 'O=Nobody',
        issuer: root.subject,
        ...fields(days),
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
        ],
      })
      const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', own.privateKey))
      const body = der.toString('base64').replace(/.{64}/g, '$&\n')
      return {
        cert: leaf.toString('pem'),
        key: `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`,
      }
    },
  }
}

const fields = (days: number) => ({
  serialNumber: `40${randomBytes(15).toString('hex')}`,
  notBefore: new Date(Date.now() - 20 * DAY),
  notAfter: new Date(Date.now() + days * DAY),
  signingAlgorithm: algorithm,
})
