/**
 * A credential's keyed fingerprint: tells keys apart, can't be turned back or guessed at without this machine's
 * key. `fp_` and the first 16 bytes of HMAC-SHA-256, in hex.
 */
import { createHmac } from 'node:crypto'

export type Fingerprint = (secret: string) => string

/** @param key 32 bytes; secrets are hashed as the bytes that were sent (latin1) */
export function fingerprintWith(key: Buffer): Fingerprint {
  return (secret) => `fp_${createHmac('sha256', key).update(secret, 'latin1').digest('hex').slice(0, 32)}`
}
