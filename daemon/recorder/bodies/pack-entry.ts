/**
 * What stands in a pack, under the seal (sealed/format.ts): chunks and manifests, each found by its key.
 *
 *   chunk     0x01 | id (32) | coding (1: 0 as is, 1 zstd) | bytes
 *   manifest  0x02 | digest (32) | coding (1) | form (1) | salt (32) | u64be size | content
 *   stead     0x03 | u32be number: the pack stands in the stead of that one, less what was erased; its first entry
 *
 * Forms: 0 the content is the part's bytes (small parts); 1 it is the ids of its chunks; 2 it is the ids of
 * chunks that hold, one after the other, the ids of its chunks (parts of more than {@link LIST_IDS} chunks,
 * so that neither writer nor manifest grows with a body of any length).
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { RecorderError } from '../errors.ts'
import { MAX_CHUNK } from './split.ts'

const CHUNK = 1
const MANIFEST = 2
const STEAD = 3
export const STEAD_SIZE = 5
const KEY = 32
export const SALT = 32
export const ID = 32
/** Ids in one list chunk: 64 KiB, the longest chunk. */
export const LIST_IDS = MAX_CHUNK / ID
/** Below this zstd saves less than its call costs (about 50 µs). */
const WORTH_COMPRESSING = 1024
/** A content longer than this is no content of ours; bounds what a damaged length can inflate to. */
const MAX_CONTENT = 16 << 20

export const FORM = { inline: 0, chunks: 1, lists: 2 } as const
export type Form = (typeof FORM)[keyof typeof FORM]

export interface Manifest {
  readonly form: Form
  readonly salt: Buffer
  readonly size: number
  readonly content: Buffer
}

export type PackEntry =
  | { readonly kind: 'chunk'; readonly key: Buffer; readonly bytes: Buffer }
  | { readonly kind: 'manifest'; readonly key: Buffer; readonly manifest: Manifest }
  | { readonly kind: 'stead'; readonly pack: number }

const LEVEL = { [constants.ZSTD_c_compressionLevel]: 3 }

function encoded(bytes: Buffer): { coding: number; bytes: Buffer } {
  if (bytes.length < WORTH_COMPRESSING) return { coding: 0, bytes }
  // An output buffer of the input's size instead of 16 KiB and more: garbage of large bodies is what counts.
  const small = zstdCompressSync(bytes, { params: LEVEL, chunkSize: bytes.length })
  return small.length < bytes.length ? { coding: 1, bytes: small } : { coding: 0, bytes }
}

function decoded(coding: number, bytes: Buffer): Buffer {
  if (coding === 0) return bytes
  if (coding === 1) return zstdDecompressSync(bytes, { maxOutputLength: MAX_CONTENT })
  throw malformed()
}

/** The parts of a chunk's entry, to be sealed together. */
export function chunkEntry(id: Buffer, plain: Buffer): Buffer[] {
  const { coding, bytes } = encoded(plain)
  return [Buffer.from([CHUNK]), id, Buffer.from([coding]), bytes]
}

export function manifestEntry(digest: Buffer, manifest: Manifest): Buffer[] {
  // Ids are random to zstd.
  const { coding, bytes } =
    manifest.form === FORM.inline ? encoded(manifest.content) : { coding: 0, bytes: manifest.content }
  const size = Buffer.alloc(8)
  size.writeBigUInt64BE(BigInt(manifest.size))
  return [Buffer.from([MANIFEST]), digest, Buffer.from([coding, manifest.form]), manifest.salt, size, bytes]
}

export function steadEntry(pack: number): Buffer[] {
  const number = Buffer.alloc(4)
  number.writeUInt32BE(pack)
  return [Buffer.from([STEAD]), number]
}

/** What a pack entry is found by, without a look at the rest; undefined for what isn't looked up. */
export function packEntryKey(plain: Buffer): { key: Buffer; manifest: boolean } | undefined {
  if (plain[0] === STEAD) return undefined
  return { key: plain.subarray(1, 1 + KEY), manifest: plain[0] === MANIFEST }
}

/** @throws RecorderError DAMAGED where the plaintext is no pack entry. */
export function parsePackEntry(plain: Buffer): PackEntry {
  if (plain[0] === STEAD && plain.length === STEAD_SIZE) return { kind: 'stead', pack: plain.readUInt32BE(1) }
  const key = plain.subarray(1, 1 + KEY)
  const body = plain.subarray(1 + KEY)
  try {
    if (plain[0] === CHUNK && body.length >= 1) {
      return { kind: 'chunk', key, bytes: decoded(body[0]!, body.subarray(1)) }
    }
    if (plain[0] === MANIFEST && body.length >= 2 + SALT + 8) {
      const form = body[1]!
      if (form !== FORM.inline && form !== FORM.chunks && form !== FORM.lists) throw malformed()
      const manifest = {
        form,
        salt: body.subarray(2, 2 + SALT),
        size: Number(body.readBigUInt64BE(2 + SALT)),
        content: decoded(body[0]!, body.subarray(2 + SALT + 8)),
      } as const
      return { kind: 'manifest', key, manifest }
    }
  } catch (cause) {
    throw cause instanceof RecorderError ? cause : malformed(cause)
  }
  throw malformed()
}

function malformed(cause?: unknown): RecorderError {
  return new RecorderError(
    'DAMAGED',
    'an entry of the body store has an unknown form',
    'It was written by a newer version: upgrade, or restore the pack from a backup.',
    cause,
  )
}
