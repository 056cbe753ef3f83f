/** Reads stored parts by their digest, beside a running recorder, without locks. */
import { createHash } from 'node:crypto'
import path from 'node:path'
import { messageOf } from '../base/errors.ts'
import { bodyKeys, isChunkId } from './bodies/keys.ts'
import { FORM, ID, type Manifest, type PackEntry, parsePackEntry } from './bodies/pack-entry.ts'
import { scanPlaces } from './bodies/pack-store.ts'
import type { Span } from './bodies/place.ts'
import { RecorderError } from './errors.ts'
import { INDEX_FILE, openIndexDatabase, placeOf, readable } from './index/database.ts'
import { sealedName } from './sealed/files.ts'
import { SealedReader } from './sealed/sealed-reader.ts'

export interface StoredPart {
  /** 32 bytes; digest = SHA-256(salt ‖ bytes). */
  readonly salt: Buffer
  readonly bytes: Buffer
}

export interface Bodies {
  /**
   * @param digest hex, as in the record
   * @throws RecorderError NOT_FOUND where it was never stored or has been erased, DAMAGED where it doesn't
   * authenticate or doesn't match its digest.
   */
  read(digest: string): StoredPart
  /** The salt and the bytes in pieces of at most 64 KiB, for parts of any size; the digest isn't checked. */
  stream(digest: string): { salt: Buffer; size: number; chunks: Generator<Buffer> }
  close(): void
}

type KeyedEntry = Exclude<PackEntry, { kind: 'stead' }>

/** @param dir the recorder's directory */
export function openBodies(dir: string, bodyKey: Buffer): Bodies {
  const packs = path.join(dir, 'packs')
  const keys = bodyKeys(bodyKey)
  const readers = new Map<number, SealedReader>()
  const indexFile = path.join(dir, INDEX_FILE)
  const database = openIndexDatabase(indexFile)
  let scanned: Map<string, Span> | undefined

  function place(key: Buffer): Span {
    const known = database && readable(indexFile, () => placeOf(database, key))
    if (known !== undefined) return known
    // The index is only an index: what it doesn't know may still be in the packs.
    scanned ??= new Map(
      [...scanPlaces(packs, keys.seal, { pack: 0, offset: 0 })].map((p) => [p.key.toString('hex'), p]),
    )
    const found = scanned.get(key.toString('hex'))
    if (found !== undefined) return found
    throw new RecorderError(
      'NOT_FOUND',
      `nothing is stored under ${key.toString('hex')}`,
      'Its pack is missing, or it was never kept (see `stored` in the record).',
    )
  }

  function entry(key: Buffer): KeyedEntry {
    const found = place(key)
    try {
      return entryAt(key, found)
    } catch (error) {
      // A pack that is written anew for an erasure takes its entries elsewhere.
      const now = place(key)
      if (now.pack === found.pack) throw error
      return entryAt(key, now)
    }
  }

  function entryAt(key: Buffer, { pack, offset, length }: Span): KeyedEntry {
    const file = `packs/${sealedName('pack', pack)}`
    try {
      let reader = readers.get(pack)
      if (reader === undefined) {
        reader = new SealedReader(path.join(dir, file), keys.seal, 'pack', pack)
        readers.set(pack, reader)
      }
      const found = parsePackEntry(reader.entry(offset, length))
      if (found.kind !== 'stead' && found.key.equals(key)) return found
    } catch (cause) {
      throw damaged(`${file}: ${messageOf(cause)}`, cause)
    }
    throw mismatch(file, offset)
  }

  function chunk(id: Buffer): Buffer {
    const found = entry(id)
    if (found.kind !== 'chunk' || !isChunkId(keys, found.bytes, id)) throw mismatch('a pack', 0)
    return found.bytes
  }

  function* chunks(manifest: Manifest): Generator<Buffer> {
    if (manifest.form === FORM.inline) yield manifest.content
    else if (manifest.form === FORM.chunks) for (const id of idsOf(manifest.content)) yield chunk(id)
    else for (const list of idsOf(manifest.content)) for (const id of idsOf(chunk(list))) yield chunk(id)
  }

  function stream(digest: string) {
    const found = entry(Buffer.from(digest, 'hex'))
    if (found.kind !== 'manifest') throw mismatch('a pack', 0)
    const { salt, size } = found.manifest
    return { salt, size, chunks: chunks(found.manifest) }
  }

  return {
    stream,
    read(digest) {
      const { salt, chunks } = stream(digest)
      const bytes = Buffer.concat([...chunks])
      const actual = createHash('sha256').update(salt).update(bytes).digest('hex')
      if (actual !== digest) throw mismatch(digest, 0)
      return { salt, bytes }
    },
    close() {
      for (const reader of readers.values()) reader.close()
      readers.clear()
      database?.close()
    },
  }
}

function* idsOf(list: Buffer): Generator<Buffer> {
  for (let at = 0; at + ID <= list.length; at += ID) yield list.subarray(at, at + ID)
}

function mismatch(where: string, offset: number): RecorderError {
  return damaged(`${where} holds something else than was stored (offset ${offset})`)
}

function damaged(what: string, cause?: unknown): RecorderError {
  return new RecorderError(
    'DAMAGED',
    what,
    cause instanceof RecorderError
      ? cause.remedy
      : 'Run `agent-anchor verify` to see what is damaged, and restore the file from a backup.',
    cause,
  )
}
