/**
 * What the log's arithmetic needs of a platform, where nothing of Node is: a browser, or any JavaScript. WebCrypto
 * is not used: it is asynchronous, which every proof would have to be, and absent from pages without a secure
 * context (docs/decisions/030).
 */
import { ed25519 } from '@noble/curves/ed25519'
import { sha256 as hash } from '@noble/hashes/sha2'
import type { SigningKey } from './signing-key.ts'

export type Bytes = Uint8Array
/** The 32-byte seed of an Ed25519 key. */
export type PrivateKey = Uint8Array

export const sha256 = (bytes: Uint8Array): Bytes => hash(bytes)

export function concat(parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

export const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])

export const utf8 = (text: string): Bytes => new TextEncoder().encode(text)

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

/** Bytes that become one string of characters at a time: as many arguments as any engine takes. */
const PIECE = 0x2000

export function toBase64(bytes: Uint8Array): string {
  let characters = ''
  for (let at = 0; at < bytes.length; at += PIECE)
    characters += String.fromCharCode(...bytes.subarray(at, at + PIECE))
  return btoa(characters)
}

/** Takes more than canonical base64, and gives nothing for what is none: who calls compares. */
export function fromBase64(text: string): Bytes {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  } catch {
    return new Uint8Array()
  }
}

/**
 * As OpenSSL judges: its equation has no cofactor, noble's has. Where neither key nor signature has a part of
 * small order the two are the same, and no honest signer makes one that has.
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return (
      ed25519.verify(signature, message, publicKey, { zip215: false }) &&
      [publicKey, signature.subarray(0, 32)].every((point) => ed25519.Point.fromHex(point).isTorsionFree())
    )
  } catch {
    return false
  }
}

/** Undefined for what is no seed. */
export function openSigningKey(seed: PrivateKey): SigningKey<Bytes> | undefined {
  if (seed.length !== 32) return undefined
  return { publicKey: ed25519.getPublicKey(seed), sign: (message) => ed25519.sign(message, seed) }
}
