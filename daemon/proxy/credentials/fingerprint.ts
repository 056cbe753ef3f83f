/**
 * A credential's keyed fingerprint: tells keys apart, can't be turned back or guessed at without this machine's
 * key. `fp_` and the first 16 bytes of HMAC-SHA-256, in hex.
 */
import { createHmac, createSecretKey } from 'node:crypto'

export type Fingerprint = (secret: string) => string

/** @param key 32 bytes; secrets are hashed as the bytes that were sent (latin1) */
export function fingerprintWith(key: Buffer): Fingerprint {
  // With plain bytes createHmac makes a key object of them each time, which costs eight times the hash itself.
  const mac = createSecretKey(key)
  return (secret) => `fp_${createHmac('sha256', mac).update(secret, 'latin1').digest('hex').slice(0, 32)}`
}
