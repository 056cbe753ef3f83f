/** Frames of an exchange, read again from the journal one entry at a time. */
import path from 'node:path'
import { RecorderError } from '../errors.ts'
import type { Ranges } from '../intake/journal.ts'
import { decodeFrames, type JournalFrame } from '../intake/journal-entry.ts'
import { sealedName } from '../sealed/files.ts'
import { SealedReader } from '../sealed/sealed-reader.ts'

/** Segments held open; exchanges that end together mostly stand in one or two. */
const MAX_OPEN = 4

export class ExchangeReader {
  readonly #dir: string
  readonly #bodyKey: Buffer
  readonly #readers = new Map<number, SealedReader>()

  constructor(dir: string, bodyKey: Buffer) {
    this.#dir = dir
    this.#bodyKey = bodyKey
  }

  /** In the order they came; 'damaged' in the place of an entry that doesn't open. */
  *frames(id: string, ranges: Ranges): Generator<JournalFrame | 'damaged'> {
    for (let i = 0; i + 2 < ranges.length; i += 3) {
      const frames = this.#entry(id, ranges[i]!, ranges[i + 1]!, ranges[i + 2]!)
      if (frames === undefined) yield 'damaged'
      else yield* frames
    }
  }

  /** Gives removed segments' disk space free. */
  close(): void {
    for (const reader of this.#readers.values()) reader.close()
    this.#readers.clear()
  }

  #entry(id: string, segment: number, offset: number, length: number): JournalFrame[] | undefined {
    try {
      const entry = decodeFrames(this.#reader(segment).entry(offset, length))
      return entry.id === id ? entry.frames : undefined
    } catch (error) {
      if (error instanceof RecorderError || (error as NodeJS.ErrnoException).code === 'ENOENT') {
        return undefined
      }
      throw error
    }
  }

  #reader(segment: number): SealedReader {
    const open = this.#readers.get(segment)
    if (open !== undefined) return open
    if (this.#readers.size >= MAX_OPEN) this.close()
    const file = path.join(this.#dir, sealedName('journal', segment))
    const reader = new SealedReader(file, this.#bodyKey, 'journal', segment)
    this.#readers.set(segment, reader)
    return reader
  }
}
