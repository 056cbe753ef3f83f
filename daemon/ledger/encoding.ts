/**
 * The three encodings that notes, checkpoints and proofs are made of, each with exactly one accepted spelling:
 * a second spelling of the same value would make two byte strings out of one statement.
 */
import { type Bytes, fromBase64, toBase64 } from '#platform'
import { LedgerError } from './errors.ts'

const REMEDY = 'Get the document again from where it came; it was altered or is of another format.'

/** Largest tree size taken from outside: what the chain's contract and other logs hold (2^63 − 1). */
export const MAX_SIZE = (1n << 63n) - 1n

/** Decodes canonical, padded base64 (RFC 4648 section 4): no other alphabet, no stray bits, no white space. */
export function decodeBase64(text: string): Bytes {
  const bytes = fromBase64(text)
  if (toBase64(bytes) !== text) {
    throw new LedgerError('MALFORMED_ENCODING', 'not canonical base64', REMEDY)
  }
  return bytes
}

/** Decodes base64 of a SHA-256 hash: 32 bytes. */
export function decodeHash(text: string): Bytes {
  const bytes = decodeBase64(text)
  if (bytes.length !== 32) {
    throw new LedgerError('MALFORMED_ENCODING', `a hash of ${bytes.length} bytes`, REMEDY)
  }
  return bytes
}

/** Decodes a decimal without sign or leading zeros, up to {@link MAX_SIZE}. */
export function decodeDecimal(text: string): bigint {
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(text) || BigInt(text) > MAX_SIZE) {
    throw new LedgerError('MALFORMED_ENCODING', 'not a decimal number in range', REMEDY)
  }
  return BigInt(text)
}

/** Decodes UTF-8 as it stands: a byte order mark is kept, anything invalid refused. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new LedgerError('MALFORMED_ENCODING', 'not UTF-8', REMEDY, cause)
  }
}
