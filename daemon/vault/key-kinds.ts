/** The gateway's keys but the CA's: their names, shapes, files, and the ids by which they are spoken of. */
import { createPrivateKey, createPublicKey, hkdfSync, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { formatVerifierKey } from '../ledger/note.ts'

export const KEY_NAMES = ['log', 'gateway', 'body', 'fingerprint'] as const
export type KeyName = (typeof KEY_NAMES)[number]

const KEY_BYTES = 32
/** SEC 2 §2.4.1: the order of secp256k1; a private key is 1 … n − 1. */
const SECP256K1_ORDER = Buffer.from('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141', 'hex')
/** RFC 8410 §7: PKCS#8 of an Ed25519 key up to its seed. */
const ED25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const ID_BYTES = 8

export const sealedFile = (dir: string, name: KeyName): string => join(dir, `${name}.sealed`)
/** The key that a rotation brings in. */
export const nextFile = (dir: string, name: KeyName): string => join(dir, `${name}.next.sealed`)
export const purposeOf = (name: KeyName): string => `${name}-key`

export function randomKey(name: KeyName): Buffer {
  for (;;) {
    const secret = randomBytes(KEY_BYTES)
    if (isValid(name, secret)) return secret
  }
}

export function isValid(name: KeyName, secret: Buffer): boolean {
  if (secret.length !== KEY_BYTES || secret.every((byte) => byte === 0)) return false
  return name !== 'gateway' || secret.compare(SECP256K1_ORDER) < 0
}

export function ed25519PublicKey(seed: Buffer): Buffer {
  const pkcs8 = Buffer.concat([ED25519_PKCS8_PREFIX, seed])
  const publicKey = createPublicKey(createPrivateKey({ key: pkcs8, type: 'pkcs8', format: 'der' }))
  pkcs8.fill(0)
  return publicKey.export({ type: 'spki', format: 'der' }).subarray(-KEY_BYTES)
}

/** Of the log key its verifier key, of the gateway key its address in lower case, else 16 hex digits. */
export async function keyId(name: KeyName, secret: Buffer, origin: string): Promise<string> {
  if (name === 'log') return formatVerifierKey(origin, ed25519PublicKey(secret))
  if (name === 'gateway') {
    const [{ SigningKey }, { computeAddress }] = await Promise.all([
      import('ethers/crypto'),
      import('ethers/transaction'),
    ])
    return computeAddress(new SigningKey(secret).publicKey).toLowerCase()
  }
  return Buffer.from(hkdfSync('sha256', secret, '', 'agent-anchor key id', ID_BYTES)).toString('hex')
}
