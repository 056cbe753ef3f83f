/** The gateway's own authorities, told from the others in a store. Pure. */
import { X509Certificate } from 'node:crypto'
import { isAuthorityOfGateway } from '../authority-name.ts'
import { CaError } from '../ca-error.ts'
import { certificateBlocks } from '../system-roots.ts'

/** The one in use and, while it is changed for another, its successor. */
const MOST = 2

/**
 * What is to be trusted, in the canonical PEM that a store keeps.
 * @throws CaError `certificate-unsuitable`
 */
export function authorities(certificates: readonly string[]): string[] {
  if (certificates.length < 1 || certificates.length > MOST) {
    throw unsuitable(`${certificates.length} certificates are given where one or two are to be trusted`)
  }
  return certificates.map((pem) => {
    let certificate: X509Certificate
    try {
      certificate = new X509Certificate(pem)
    } catch (cause) {
      throw unsuitable('the certificate to trust does not parse', cause)
    }
    if (!certificate.ca) throw unsuitable('the certificate to trust is not an authority')
    return certificate.toString()
  })
}

/** Our certificates in a text such as a bundle, as `base64Of` has them; those of earlier authorities too. */
export function oursIn(text: string): Set<string> {
  return new Set([...certificateBlocks(text)].filter(isOurs).map(base64Of))
}

/** What two PEMs of one certificate have in common, however they are wrapped. */
export function base64Of(pem: string): string {
  return pem.replace(/-----(?:BEGIN|END) CERTIFICATE-----|\s/g, '')
}

function isOurs(pem: string): boolean {
  try {
    return isAuthorityOfGateway(new X509Certificate(pem))
  } catch {
    return false
  }
}

function unsuitable(what: string, cause?: unknown): CaError {
  return new CaError(
    'certificate-unsuitable',
    what,
    'Restore ca/ca.crt from a backup or install again to make a new authority.',
    cause,
  )
}
