/**
 * The roots by which the proxy verifies providers: the operating system's, less our own authority, which
 * must never vouch for the far side. SSL_CERT_FILE, NODE_EXTRA_CA_CERTS and the like aren't read: whoever
 * starts the daemon can't widen its trust by a variable.
 */

import { X509Certificate } from 'node:crypto'
import { closeSync, existsSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { isAuthorityOfGateway } from './authority-name.ts'
import { CaError } from './ca-error.ts'

/** Where distributions keep the bundle they regenerate: the list of Go's crypto/x509/root_linux.go. */
const BUNDLE_PATHS = [
  '/etc/ssl/certs/ca-certificates.crt', // Debian, Ubuntu, Alpine, Arch, Gentoo
  '/etc/pki/tls/certs/ca-bundle.crt', // Fedora, RHEL
  '/etc/ssl/ca-bundle.pem', // SUSE
  '/etc/pki/tls/cacert.pem', // OpenELEC
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem', // RHEL 7, CentOS
  '/etc/ssl/cert.pem', // Alpine
] as const

const BEGIN = '-----BEGIN CERTIFICATE-----'
const END = '-----END CERTIFICATE-----'
/** A Debian bundle has 220 kB and its largest certificate 3 kB of PEM. */
const MAX_BUNDLE_BYTES = 16 * 1024 * 1024
const MAX_CERTIFICATE_CHARACTERS = 64 * 1024

/**
 * The distribution's bundle file, without `root`'s prefix.
 * @throws CaError `no-system-bundle`
 */
export function systemBundlePath(root = ''): string {
  const found = BUNDLE_PATHS.find((path) => existsSync(`${root}${path}`))
  if (found !== undefined) return found
  throw new CaError(
    'no-system-bundle',
    `no bundle of root certificates was found at ${BUNDLE_PATHS.join(', ')}`,
    "Install the distribution's package ca-certificates.",
  )
}

/**
 * The certificates of the operating system's bundle as PEM, without doubles, without what doesn't parse, and without our
 * own: those that hold the public key of one of `certificates`, and what a gateway left there, which has its name.
 * @throws CaError `no-system-bundle`, `system-bundle-unusable`, `certificate-unsuitable`
 */
export function systemRootsWithout(
  certificates: readonly string[],
  options: { bundlePath?: string } = {},
): string[] {
  const path = options.bundlePath ?? systemBundlePath()
  const ours = certificates.map((pem) => parseCertificate(pem)?.publicKey)
  if (!ours.every((key) => key !== undefined)) {
    throw new CaError(
      'certificate-unsuitable',
      "the gateway's own certificate doesn't parse, so it can't be told from the system's roots",
      'Restore ca/ca.crt from a backup or install again.',
    )
  }
  const roots = new Map<string, string>()
  for (const block of certificateBlocks(readBundle(path))) {
    const certificate = parseCertificate(block)
    if (certificate === undefined || isAuthorityOfGateway(certificate)) continue
    if (ours.some((key) => certificate.publicKey.equals(key))) continue
    roots.set(certificate.fingerprint256, certificate.toString())
  }
  if (roots.size > 0) return [...roots.values()]
  throw unusable(path, 'holds no usable root certificate')
}

/** The PEM certificates in a text, whatever stands between them; a block that never ends is passed over. */
export function* certificateBlocks(text: string): Generator<string> {
  let begin = text.indexOf(BEGIN)
  while (begin !== -1) {
    const end = text.indexOf(END, begin + BEGIN.length)
    if (end === -1) return
    // The last BEGIN before the END is the one that belongs to it.
    const start = text.lastIndexOf(BEGIN, end)
    if (end - start <= MAX_CERTIFICATE_CHARACTERS) yield text.slice(start, end + END.length)
    begin = text.indexOf(BEGIN, end + END.length)
  }
}

/** A certificate that OpenSSL can read together with its key, or undefined. */
function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(pem)
    return certificate.publicKey.type === 'public' ? certificate : undefined
  } catch {
    return undefined
  }
}

function readBundle(path: string): string {
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch (cause) {
    throw unusable(path, 'cannot be opened', cause)
  }
  try {
    const status = fstatSync(descriptor)
    if (!status.isFile()) throw unusable(path, 'is not a file')
    if (status.size > MAX_BUNDLE_BYTES) throw unusable(path, `is larger than ${MAX_BUNDLE_BYTES} bytes`)
    return readFileSync(descriptor, 'latin1')
  } finally {
    closeSync(descriptor)
  }
}

function unusable(path: string, what: string, cause?: unknown): CaError {
  return new CaError(
    'system-bundle-unusable',
    `the system's root certificates in ${path} ${what}`,
    "Reinstall the distribution's package ca-certificates, or run its tool to regenerate the bundle.",
    cause,
  )
}
