/** By what a certificate of this gateway's is told from all others. */
import type { X509Certificate } from 'node:crypto'

/** Of every certificate that a gateway makes. */
export const ORGANIZATION = 'Agent Anchor Gateway'
/** How the common name of each root begins; eight random hexadecimal digits follow. */
export const AUTHORITY_NAME = 'Agent Anchor Gateway CA'

/** A root of this or another gateway, whatever its key. */
export const isAuthorityOfGateway = (certificate: X509Certificate): boolean =>
  certificate.subject.includes(`CN=${AUTHORITY_NAME} `)
