import { X509Certificate } from 'node:crypto'
import { appendFile, symlink, writeFile } from 'node:fs/promises'
import { tool } from './process.ts'

/** The regenerated bundle of Debian, the one that OpenSSL, curl and Python read there. */
export const BUNDLE = '/etc/ssl/certs/ca-certificates.crt'

/**
 * Makes the laboratory's /etc/ssl/certs trust its root: the source where `update-ca-certificates` finds
 * it again, and at once what that would make of it, which takes it more than a second.
 */
export async function trustRoot(pem: string): Promise<void> {
  const certificate = new X509Certificate(pem).toString()
  const source = '/usr/local/share/ca-certificates/laboratory-root.crt'
  await writeFile(source, certificate)
  await symlink(source, '/etc/ssl/certs/laboratory-root.pem')
  const hash = (await tool(['openssl', 'x509', '-hash', '-noout', '-in', source])).trim()
  await symlink('laboratory-root.pem', `/etc/ssl/certs/${hash}.0`)
  await appendFile(BUNDLE, certificate)
}
