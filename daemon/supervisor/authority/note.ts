/** What both keys of a CA's rotation sign at each of its steps: see docs/formats.md, CA history. */
import { createPrivateKey, sign, verify, X509Certificate } from 'node:crypto'
import type { Authority } from '../../../ca/authority.ts'
import type { Taken } from './history.ts'

const TITLE = 'agent-anchor CA rotation v1'

/** SHA-256 of the certificate's DER in lower case hex. */
export const fingerprintOf = (certificatePem: string): string =>
  new X509Certificate(certificatePem).fingerprint256.replaceAll(':', '').toLowerCase()

type Told = Pick<Taken, 'step' | 'from' | 'to' | 'time'> & { readonly origin: string }

const textOf = ({ origin, step, from, to, time }: Told): string =>
  `${TITLE}\n${origin}\n${step}\n${from}\n${to}\n${time}\n`

/** The text, a blank line, and a signature line of each: ECDSA P-256 with SHA-256, DER in base64. The successor's first. */
export function rotationNote(told: Told, keys: { readonly from: Authority; readonly to: Authority }): string {
  const text = textOf(told)
  const line = ({ privateKeyPem }: Authority, id: string) =>
    `\u2014 ${id} ${sign('sha256', Buffer.from(text), createPrivateKey(privateKeyPem)).toString('base64')}\n`
  return `${text}\n${line(keys.to, told.to)}${line(keys.from, told.from)}`
}

/** Did both of these certificates' keys sign exactly this step of this log's CA? */
export function isSignedByBoth(
  taken: Taken,
  origin: string,
  certificates: { readonly from: string; readonly to: string },
): boolean {
  const text = textOf({ ...taken, origin })
  const lines = taken.note.startsWith(`${text}\n`) ? taken.note.slice(text.length + 1).split('\n') : []
  if (lines.length !== 3 || lines[2] !== '') return false
  return [[certificates.to, taken.to] as const, [certificates.from, taken.from] as const].every(
    ([pem, id], at) => {
      const start = `\u2014 ${id} `
      const line = lines[at] ?? ''
      if (fingerprintOf(pem) !== id || !line.startsWith(start)) return false
      const signature = Buffer.from(line.slice(start.length), 'base64')
      return verify('sha256', Buffer.from(text), new X509Certificate(pem).publicKey, signature)
    },
  )
}
