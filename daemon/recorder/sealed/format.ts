/**
 * The byte format of journal segments and packs: an append-only file of sealed entries.
 *
 *   header  "AANCHOR1" (8) | salt (32) | tag (16)
 *   entry   "AAe1" (4) | u32be length of the ciphertext (4) | nonce (12) | ciphertext | tag (16)
 *
 * AES-256-GCM under a key of the file's own: HKDF-SHA-256(body key, salt, purpose/number). The header's tag
 * is HMAC-SHA-256 under that key, cut to 16 bytes. An entry's additional data is its offset (u64be) and its
 * first 20 bytes, so an entry that was moved, cut or lengthened doesn't open, and files can't change names.
 *
 * What is called the body key may be several of 32 bytes, one behind the other: that in force, which seals, and those
 * before it; the header's tag tells which of them a file is under.
 * Nonces are random: a file holds at most 2^20 entries or so, far below the 2^32 that NIST SP 800-38D
 * allows a key. Counters would repeat when a failed append is cut back and written again.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  timingSafeEqual,
} from 'node:crypto'
import { RecorderError } from '../errors.ts'
import { freshRandom } from './random.ts'

const KEY = 32
const FILE_MAGIC = Buffer.from('AANCHOR1')
export const ENTRY_MAGIC = Buffer.from('AAe1')
const SALT = 32
const NONCE = 12
const TAG = 16
export const FILE_HEADER = FILE_MAGIC.length + SALT + TAG
export const ENTRY_HEADER = ENTRY_MAGIC.length + 4 + NONCE
export const ENTRY_OVERHEAD = ENTRY_HEADER + TAG
/** Longest plaintext of an entry: bounds what a damaged length can make a reader allocate. */
export const MAX_ENTRY = 16 << 20

const SMALL = 128 << 10

export type Purpose = 'journal' | 'pack'

export interface FileKey {
  readonly key: KeyObject
  /** False where the header doesn't authenticate; entries may still open. */
  readonly headerIntact: boolean
}

function fileKey(bodyKey: Buffer, purpose: Purpose, number: number, salt: Buffer): KeyObject {
  const info = `agent-anchor/${purpose}/${number}`
  return createSecretKey(Buffer.from(hkdfSync('sha256', bodyKey, salt, info, KEY)))
}

function headerTag(key: KeyObject, header: Buffer): Buffer {
  return createHmac('sha256', key).update(header).digest().subarray(0, TAG)
}

/** Of a body key of several: the one that seals. */
export const inForce = (bodyKey: Buffer): Buffer => bodyKey.subarray(0, KEY)

/** A new file's header and key. */
export function createHeader(
  bodyKey: Buffer,
  purpose: Purpose,
  number: number,
): { header: Buffer; key: KeyObject } {
  const salt = freshRandom(SALT)
  const key = fileKey(inForce(bodyKey), purpose, number, salt)
  const start = Buffer.concat([FILE_MAGIC, salt])
  return { header: Buffer.concat([start, headerTag(key, start)]), key }
}

/** The key of an existing file from its first {@link FILE_HEADER} bytes. */
export function openHeader(bodyKey: Buffer, purpose: Purpose, number: number, header: Buffer): FileKey {
  const start = header.subarray(0, FILE_HEADER - TAG)
  const whole = header.length === FILE_HEADER && start.subarray(0, FILE_MAGIC.length).equals(FILE_MAGIC)
  const salt = start.subarray(FILE_MAGIC.length)
  for (let at = 0; whole && at < bodyKey.length; at += KEY) {
    const key = fileKey(bodyKey.subarray(at, at + KEY), purpose, number, salt)
    if (timingSafeEqual(header.subarray(FILE_HEADER - TAG), headerTag(key, start)))
      return { key, headerIntact: true }
  }
  return { key: fileKey(inForce(bodyKey), purpose, number, salt), headerIntact: false }
}

function additionalData(offset: number, header: Buffer): Buffer {
  const aad = Buffer.allocUnsafe(8 + ENTRY_HEADER)
  aad.writeBigUInt64BE(BigInt(offset), 0)
  header.copy(aad, 8)
  return aad
}

/** Seals `parts`, one after the other, as the entry that will stand at `offset`. */
export function sealEntry(key: KeyObject, offset: number, parts: readonly Buffer[]): Buffer {
  let length = 0
  for (const part of parts) length += part.length
  if (length > MAX_ENTRY) throw new RangeError(`an entry of ${length} bytes`)
  const entry = Buffer.allocUnsafe(ENTRY_OVERHEAD + length)
  ENTRY_MAGIC.copy(entry)
  entry.writeUInt32BE(length, 4)
  const nonce = freshRandom(NONCE)
  nonce.copy(entry, 8)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(additionalData(offset, entry.subarray(0, ENTRY_HEADER)))
  let at = ENTRY_HEADER
  if (length <= SMALL) {
    // One call of the cipher costs more than putting a small entry together, here where it will stand.
    for (const part of parts) at += part.copy(entry, at)
    cipher.update(entry.subarray(ENTRY_HEADER, at)).copy(entry, ENTRY_HEADER)
  } else for (const part of parts) at += cipher.update(part).copy(entry, at)
  cipher.final()
  cipher.getAuthTag().copy(entry, at)
  return entry
}

/** The plaintext length that an entry's header claims, or undefined where it is no entry's header. */
export function entryLength(header: Buffer): number | undefined {
  if (header.length < ENTRY_HEADER || !header.subarray(0, 4).equals(ENTRY_MAGIC)) return undefined
  const length = header.readUInt32BE(4)
  return length <= MAX_ENTRY ? length : undefined
}

/** @throws RecorderError DAMAGED where `entry` isn't what was sealed at `offset`. */
export function unsealEntry(key: KeyObject, offset: number, entry: Buffer): Buffer {
  const length = entryLength(entry)
  if (length === undefined || entry.length !== ENTRY_OVERHEAD + length) throw damaged(offset)
  const header = entry.subarray(0, ENTRY_HEADER)
  const decipher = createDecipheriv('aes-256-gcm', key, header.subarray(8))
  decipher.setAAD(additionalData(offset, header))
  decipher.setAuthTag(entry.subarray(entry.length - TAG))
  const plain = decipher.update(entry.subarray(ENTRY_HEADER, entry.length - TAG))
  try {
    decipher.final()
  } catch (cause) {
    throw damaged(offset, cause)
  }
  return plain
}

function damaged(offset: number, cause?: unknown): RecorderError {
  return new RecorderError(
    'DAMAGED',
    `the entry at offset ${offset} does not authenticate`,
    'Run `agent-anchor verify` to see what is damaged, and restore the file from a backup.',
    cause,
  )
}
