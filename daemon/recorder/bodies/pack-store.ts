/**
 * The writing side of the body store: chunks and manifests in append-only packs. A pack holds all that the parts in
 * it need, and equal chunks once: so the oldest pack can go as a whole, and to erase a record one pack is looked at.
 * Nothing here is durable before {@link PackStore.commit} resolves.
 */
import { statSync } from 'node:fs'
import path from 'node:path'
import type { FileSystem } from '../../base/durable/file-system.ts'
import { removeFile } from '../../base/durable/files.ts'
import { RecorderError } from '../errors.ts'
import { sealedName, sealedNumbers } from '../sealed/files.ts'
import { ENTRY_OVERHEAD, FILE_HEADER, inForce } from '../sealed/format.ts'
import { SealedReader } from '../sealed/sealed-reader.ts'
import { SealedWriter } from '../sealed/sealed-writer.ts'
import { type BodyKeys, chunkId } from './keys.ts'
import {
  chunkEntry,
  type Manifest,
  manifestEntry,
  packEntryKey,
  parsePackEntry,
  STEAD_SIZE,
} from './pack-entry.ts'
import type { Committed, PackPosition, Place, PlaceIndex } from './place.ts'

const MAX_PACK = 256 << 20
/** How long one pack is written to: what goes by age goes by packs. */
const MAX_PACK_MS = 24 * 3600_000
/** In the file, the seal's overhead included. */
const STEAD_ENTRY = ENTRY_OVERHEAD + STEAD_SIZE
/** Sealed bytes held back before they are written. */
const FLUSH_AT = 1 << 20
/** Entries of one exchange after which the index learns of them: 128 MiB or so. */
const COMMIT_AT = 16_384

export interface PackStoreOptions {
  readonly dir: string
  readonly keys: BodyKeys
  readonly fs: FileSystem
  readonly index: PlaceIndex
  /** At most so many milliseconds of records in one pack. Default: a day. */
  readonly packMs?: number | undefined
  /** A pack of so many bytes is ended. Default: 256 MiB. */
  readonly packBytes?: number | undefined
}

export class PackStore {
  readonly #options: PackStoreOptions
  #writer: SealedWriter
  /**
   * Staged or written, not yet synced; by their keys as strings. A buffer for each key, made between sealed entries,
   * would hold the pool's memory around it, and with it as much as the body has.
   */
  #pending = new Map<string, Omit<Place, 'key'>>()
  /** Synced, but the index hasn't been told yet. */
  #synced: Place[] = []
  /** When the pack was begun, milliseconds since the epoch. */
  #begun: number

  private constructor(options: PackStoreOptions, writer: SealedWriter, begun = Date.now()) {
    this.#options = options
    this.#writer = writer
    this.#begun = begun
  }

  /**
   * Goes on with the last pack and cuts off what a crash left half written behind `known`; where the pack
   * is damaged otherwise it is left alone and a new one begins.
   */
  static async open(options: PackStoreOptions, known: PackPosition): Promise<PackStore> {
    const last = sealedNumbers(options.dir, 'pack').at(-1)
    if (last === undefined) return new PackStore(options, await createPack(options, 1))
    if (known.pack < last && isUnbegun(options, last)) {
      await removeFile(path.join(options.dir, sealedName('pack', last)), options.fs)
      return new PackStore(options, await createPack(options, last))
    }
    const end = wholeLength(options, last, known.pack === last ? known.offset : FILE_HEADER)
    if (end === undefined || end >= MAX_PACK || !isInForce(options, last)) {
      return new PackStore(options, await createPack(options, last + 1))
    }
    const { dir, keys, fs } = options
    const file = { dir, purpose: 'pack', number: last, bodyKey: keys.seal, fs } as const
    const { birthtimeMs, mtimeMs } = statSync(path.join(dir, sealedName('pack', last)))
    const begun = Math.min(birthtimeMs || mtimeMs, mtimeMs)
    return new PackStore(options, await SealedWriter.reopen(file, end), begun)
  }

  /** The pack that is written to. */
  get active(): number {
    return this.#writer.number
  }

  /** Stores a chunk unless it is there, and returns its id. */
  putChunk(plain: Buffer): Buffer {
    const id = chunkId(this.#options.keys, plain)
    if (!this.#pending.has(id.toString('latin1')) && !this.#options.index.isIn(id, this.active)) {
      this.#stage(id, chunkEntry(id, plain), false)
    }
    return id
  }

  putManifest(digest: Buffer, manifest: Manifest): void {
    this.#stage(digest, manifestEntry(digest, manifest), true)
  }

  /** Writes out what has piled up, so that a body of any length passes in constant memory. */
  async drain(): Promise<void> {
    if (this.#writer.stagedBytes >= FLUSH_AT) await this.#writer.flush()
    if (this.#pending.size >= COMMIT_AT) this.#options.index.add([], await this.commit())
  }

  /** To be called between exchanges: a pack that is full or old is ended, and all of the next goes into another. */
  async turn(): Promise<void> {
    const { packMs = MAX_PACK_MS, packBytes = MAX_PACK } = this.#options
    const aged = this.#writer.size > FILE_HEADER && Date.now() - this.#begun >= packMs
    if (this.#writer.size < packBytes && !aged) return
    await this.#settle()
    await this.#replace(this.active + 1)
  }

  /** True where nothing stands in the active pack. */
  get empty(): boolean {
    return this.#writer.size <= FILE_HEADER
  }

  /**
   * Goes on in another pack, behind `count` numbers that no pack ever had: those are for packs in the stead of others.
   * A number is never used twice, for the active pack has the highest, and stays.
   * @returns the first of the numbers
   */
  async reserve(count: number): Promise<number> {
    await this.#settle()
    const first = this.active + 1
    await this.#replace(first + count)
    return first
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
    if (this.#writer.broken) await this.#replace(this.active + 1)
  }

  async close(): Promise<void> {
    await this.#writer.close()
  }

  #stage(key: Buffer, parts: Buffer[], manifest: boolean): void {
    const span = this.#writer.stage(parts)
    this.#pending.set(key.toString('latin1'), { pack: this.#writer.number, ...span, manifest })
  }

  async #settle(): Promise<void> {
    if (this.#pending.size === 0) return
    await this.#writer.flush()
    await this.#writer.sync()
    this.#writer.accept()
    for (const [key, place] of this.#pending) this.#synced.push({ key: Buffer.from(key, 'latin1'), ...place })
    this.#pending.clear()
  }

  async #replace(number: number): Promise<void> {
    const next = await createPack(this.#options, number)
    await this.#writer.close().catch(() => {})
    this.#writer = next
    this.#begun = Date.now()
  }
}

function createPack({ dir, keys, fs }: PackStoreOptions, number: number): Promise<SealedWriter> {
  return SealedWriter.create({ dir, purpose: 'pack', number, bodyKey: keys.seal, fs })
}

/** A pack in whose making a crash came: nothing ever stood in it. */
function isUnbegun({ dir, keys }: PackStoreOptions, number: number): boolean {
  const reader = new SealedReader(path.join(dir, sealedName('pack', number)), keys.seal, 'pack', number)
  try {
    return !reader.headerIntact && reader.size <= FILE_HEADER
  } finally {
    reader.close()
  }
}

/** Whether a pack is under the body key in force: after a rotation nothing more is written under the old one. */
function isInForce({ dir, keys }: PackStoreOptions, number: number): boolean {
  const reader = new SealedReader(
    path.join(dir, sealedName('pack', number)),
    inForce(keys.seal),
    'pack',
    number,
  )
  reader.close()
  return reader.headerIntact
}

/** Where the last whole entry at or behind `from` ends; undefined where there is damage before the tail. */
function wholeLength({ dir, keys }: PackStoreOptions, number: number, from: number): number | undefined {
  const reader = new SealedReader(path.join(dir, sealedName('pack', number)), keys.seal, 'pack', number)
  try {
    // What stands in another's stead has that one's age, and isn't gone on with.
    if (!reader.headerIntact || steadOf(reader) !== undefined) return undefined
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

/** The pack in whose stead this one stands. Reads its first entry only, and that where it has the length of one that says so. */
export function steadOf(reader: SealedReader): number | undefined {
  if (!reader.headerIntact || reader.size < FILE_HEADER + STEAD_ENTRY) return undefined
  try {
    const entry = parsePackEntry(reader.entry(FILE_HEADER, STEAD_ENTRY))
    return entry.kind === 'stead' ? entry.pack : undefined
  } catch (error) {
    if (error instanceof RecorderError) return undefined
    throw error
  }
}

/** Places of everything in the packs from `position` on, in the order it was written, up to the pack `last`. */
export function* scanPlaces(
  dir: string,
  bodyKey: Buffer,
  position: PackPosition,
  last = Number.POSITIVE_INFINITY,
): Generator<Place> {
  for (const number of sealedNumbers(dir, 'pack').filter((n) => n >= position.pack && n <= last)) {
    const reader = new SealedReader(path.join(dir, sealedName('pack', number)), bodyKey, 'pack', number)
    try {
      const from = number === position.pack ? Math.max(position.offset, FILE_HEADER) : FILE_HEADER
      for (const found of reader.scan(from)) {
        const entry = 'plain' in found ? packEntryKey(found.plain) : undefined
        if (entry === undefined || !('length' in found)) continue
        const { offset, length } = found
        yield { key: Buffer.from(entry.key), pack: number, offset, length, manifest: entry.manifest }
      }
    } finally {
      reader.close()
    }
  }
}
