/**
 * The writing side of the body store: chunks and manifests in append-only packs. Equal chunks are stored
 * once. Nothing here is durable before {@link PackStore.commit} resolves.
 */

import path from 'node:path'
import type { FileSystem } from '../../base/durable.ts'
import { sealedName, sealedNumbers } from '../sealed/files.ts'
import { FILE_HEADER } from '../sealed/format.ts'
import { SealedReader } from '../sealed/sealed-reader.ts'
import { SealedWriter } from '../sealed/sealed-writer.ts'
import { type BodyKeys, chunkId } from './keys.ts'
import { chunkEntry, type Manifest, manifestEntry, packEntryKey } from './pack-entry.ts'
import type { PackPosition, Place, PlaceIndex } from './place.ts'

const MAX_PACK = 256 << 20
/** Sealed bytes held back before they are written. */
const FLUSH_AT = 1 << 20

export interface PackStoreOptions {
  readonly dir: string
  readonly keys: BodyKeys
  readonly fs: FileSystem
  readonly index: PlaceIndex
}

/** What the index has to learn of a commit. */
export interface Committed {
  readonly places: Place[]
  readonly position: PackPosition
}

export class PackStore {
  readonly #options: PackStoreOptions
  #writer: SealedWriter
  /** Staged or written, not yet synced. */
  #pending = new Map<string, Place>()
  /** Synced, but the index hasn't been told yet. */
  #synced: Place[] = []

  private constructor(options: PackStoreOptions, writer: SealedWriter) {
    this.#options = options
    this.#writer = writer
  }

  /**
   * Goes on with the last pack and cuts off what a crash left half written behind `known`; where the pack
   * is damaged otherwise it is left alone and a new one begins.
   */
  static async open(options: PackStoreOptions, known: PackPosition): Promise<PackStore> {
    const last = sealedNumbers(options.dir, 'pack').at(-1)
    if (last === undefined) return new PackStore(options, await createPack(options, 1))
    const end = wholeLength(options, last, known.pack === last ? known.offset : FILE_HEADER)
    if (end === undefined || end >= MAX_PACK) {
      return new PackStore(options, await createPack(options, last + 1))
    }
    const { dir, keys, fs } = options
    const file = { dir, purpose: 'pack', number: last, bodyKey: keys.seal, fs } as const
    return new PackStore(options, await SealedWriter.reopen(file, end))
  }

  /** Stores a chunk unless it is there, and returns its id. */
  putChunk(plain: Buffer): Buffer {
    const id = chunkId(this.#options.keys, plain)
    if (!this.#pending.has(id.toString('latin1')) && this.#options.index.placeOf(id) === undefined) {
      this.#stage(id, chunkEntry(id, plain))
    }
    return id
  }

  putManifest(digest: Buffer, manifest: Manifest): void {
    this.#stage(digest, manifestEntry(digest, manifest))
  }

  /** Writes out what has piled up, so that a body of any length passes in constant memory. */
  async drain(): Promise<void> {
    if (this.#writer.stagedBytes >= FLUSH_AT) await this.#writer.flush()
    if (this.#writer.size >= MAX_PACK) await this.#rotate()
  }

  /** Makes everything put so far durable. */
  async commit(): Promise<Committed> {
    await this.#settle()
    const places = this.#synced
    this.#synced = []
    return { places, position: { pack: this.#writer.number, offset: this.#writer.size } }
  }

  /** Takes back what was put since the last commit, after an error. */
  async abandon(): Promise<void> {
    this.#pending.clear()
    await this.#writer.rollback()
  }

  /** To be called before the first put after an error: a pack whose end is in doubt is left as it is. */
  async ready(): Promise<void> {
    if (this.#writer.broken) await this.#replace()
  }

  async close(): Promise<void> {
    await this.#writer.close()
  }

  #stage(key: Buffer, parts: Buffer[]): void {
    const span = this.#writer.stage(parts)
    const place = { key: Buffer.from(key), pack: this.#writer.number, ...span }
    this.#pending.set(key.toString('latin1'), place)
  }

  async #settle(): Promise<void> {
    if (this.#pending.size === 0) return
    await this.#writer.flush()
    await this.#writer.sync()
    this.#writer.accept()
    this.#synced.push(...this.#pending.values())
    this.#pending.clear()
  }

  async #rotate(): Promise<void> {
    await this.#settle()
    await this.#replace()
  }

  async #replace(): Promise<void> {
    const next = await createPack(this.#options, this.#writer.number + 1)
    await this.#writer.close().catch(() => {})
    this.#writer = next
  }
}

function createPack({ dir, keys, fs }: PackStoreOptions, number: number): Promise<SealedWriter> {
  return SealedWriter.create({ dir, purpose: 'pack', number, bodyKey: keys.seal, fs })
}

/** Where the last whole entry at or behind `from` ends; undefined where there is damage before the tail. */
function wholeLength({ dir, keys }: PackStoreOptions, number: number, from: number): number | undefined {
  const reader = new SealedReader(path.join(dir, sealedName('pack', number)), keys.seal, 'pack', number)
  try {
    if (!reader.headerIntact) return undefined
    let end = Math.max(from, FILE_HEADER)
    if (reader.size < end) return undefined
    for (const found of reader.scan(end)) {
      if ('plain' in found) end = found.offset + found.length
      else if (!found.tail) return undefined
    }
    return end
  } finally {
    reader.close()
  }
}

/** Places of everything in the packs from `position` on, in the order it was written. */
export function* scanPlaces(dir: string, bodyKey: Buffer, position: PackPosition): Generator<Place> {
  for (const number of sealedNumbers(dir, 'pack').filter((n) => n >= position.pack)) {
    const reader = new SealedReader(path.join(dir, sealedName('pack', number)), bodyKey, 'pack', number)
    try {
      const from = number === position.pack ? Math.max(position.offset, FILE_HEADER) : FILE_HEADER
      for (const found of reader.scan(from)) {
        if (!('plain' in found)) continue
        const key = Buffer.from(packEntryKey(found.plain))
        yield { key, pack: number, offset: found.offset, length: found.length }
      }
    } finally {
      reader.close()
    }
  }
}
