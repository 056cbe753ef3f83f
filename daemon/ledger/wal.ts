/**
 * The write-ahead log: a leaf is acknowledged when its frame is durable here. Appends that arrive while a write
 * is under way go together into the next one (group commit): one fdatasync for all of them.
 */
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { AppendFile } from '../base/durable/append-file.ts'
import type { FileSystem } from '../base/durable/file-system.ts'
import { removeFile, writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import { LedgerError } from './errors.ts'
import { TEMPORARY_FILE, WAL_DIRECTORY } from './files.ts'
import {
  encodeBatch,
  encodeSegmentHeader,
  MAX_BATCH_FRAMES,
  SEGMENT_HEADER,
  segmentName,
  type WalBatch,
} from './wal-frame.ts'
import { listSegments } from './wal-replay.ts'

/** Most that one write carries: enough for thousands of leaves, little enough to hold twice in memory. */
const MAX_BATCH = 4 << 20

interface Waiting {
  readonly leaf: Buffer
  readonly resolve: (index: bigint) => void
  readonly reject: (error: LedgerError) => void
}

export interface WalOptions {
  readonly dir: string
  /** Index of the next leaf. */
  readonly next: bigint
  /** Told of batches in order, once they are durable and before their appends resolve. */
  readonly onDurable: (batch: WalBatch) => void
  readonly fs: FileSystem
}

export class Wal {
  readonly #options: WalOptions
  #active: { readonly number: number; readonly file: AppendFile }
  #next: bigint
  #queue: Waiting[] = []
  /** Until the queue is empty. */
  #writing: Promise<void> | undefined
  #failure: LedgerError | undefined
  /** Commits and rolls take turns. */
  #turn: Promise<unknown> = Promise.resolve()

  private constructor(options: WalOptions, active: { number: number; file: AppendFile }) {
    this.#options = options
    this.#active = active
    this.#next = options.next
  }

  /** Opens a new segment behind those that are there. */
  static async open(options: WalOptions): Promise<Wal> {
    const number = (listSegments(options.dir).at(-1) ?? 0) + 1
    return new Wal(options, { number, file: await createSegment(options, number) })
  }

  /** Set once nothing more can be acknowledged. */
  get failure(): LedgerError | undefined {
    return this.#failure
  }

  /**
   * Resolves with the leaf's index when it is durable.
   * @throws LedgerError WRITE_FAILED: the leaf was not acknowledged, though it may appear after a crash. A full
   * disk fails the appends of the moment; a failed fdatasync fails all from then on (see durable/file-system.ts).
   */
  append(leaf: Buffer): Promise<bigint> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#queue.push({ leaf, resolve, reject })
      this.#writing ??= this.#write()
    })
  }

  /** Waits until all appends so far have their answer. */
  async settled(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing
  }

  /** Begins a new segment unless the active one is empty; all leaves before the index returned are in older ones. */
  async roll(): Promise<bigint> {
    // Unchanged since the last try: else a log that cannot integrate would make a segment a second.
    const unchanged = await this.#inTurn(async () =>
      this.#active.file.size > SEGMENT_HEADER ? undefined : this.#next,
    )
    if (unchanged !== undefined) return unchanged
    const number = this.#active.number + 1
    // Made while appends go on; only the switch waits for its turn.
    const file = await createSegment(this.#options, number)
    return this.#inTurn(async () => {
      const old = this.#active.file
      this.#active = { number, file }
      await old.close()
      return this.#next
    })
  }

  /** Removes all segments but the active one, oldest first, so that what is left has no hole. */
  async removeOld(): Promise<void> {
    const { dir, fs } = this.#options
    for (const number of listSegments(dir)) {
      if (number >= this.#active.number) break
      await removeFile(join(dir, WAL_DIRECTORY, segmentName(number)), fs)
    }
  }

  /** Call when no append is under way. */
  async close(): Promise<void> {
    await this.#inTurn(() => this.#active.file.close())
  }

  async #write(): Promise<void> {
    while (this.#queue.length > 0) {
      // One turn of the event loop, so that those who were just answered can ask again and share the next sync.
      await setImmediate()
      await this.#inTurn(() => this.#commit(this.#takeBatch()))
    }
    this.#writing = undefined
  }

  #takeBatch(): Waiting[] {
    let bytes = 0
    let count = 0
    const most = Math.min(this.#queue.length, MAX_BATCH_FRAMES)
    while (count < most && bytes < MAX_BATCH) bytes += this.#queue[count++]!.leaf.length
    return this.#queue.splice(0, count)
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    if (this.#failure === undefined) await this.#makeDurable(batch)
    const failure = this.#failure
    if (failure !== undefined) for (const { reject } of batch) reject(failure)
  }

  async #makeDurable(batch: readonly Waiting[]): Promise<void> {
    const { file } = this.#active
    const { size } = file
    const first = this.#next
    const frames = encodeBatch(
      first,
      batch.map(({ leaf }) => leaf),
    )
    try {
      await file.append([frames.bytes])
    } catch (cause) {
      const failure = failed(cause)
      try {
        // What was written of it must not stand before the next batch, nor come back beside it after a power loss.
        await file.truncate(size)
        await file.sync()
      } catch {
        this.#failure = failure
      }
      for (const { reject } of batch) reject(failure)
      return
    }
    try {
      await file.sync()
    } catch (cause) {
      this.#failure = failed(cause)
      return
    }
    this.#next = first + BigInt(batch.length)
    this.#options.onDurable(frames)
    for (const [i, { resolve }] of batch.entries()) resolve(first + BigInt(i))
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action)
    this.#turn = result.catch(() => undefined)
    return result
  }
}

async function createSegment({ dir, fs }: WalOptions, number: number): Promise<AppendFile> {
  const path = join(dir, WAL_DIRECTORY, segmentName(number))
  await writeFileAtomic(path, encodeSegmentHeader(number), { temporary: join(dir, TEMPORARY_FILE), fs })
  return AppendFile.open(path, { fs })
}

function failed(cause: unknown): LedgerError {
  return new LedgerError(
    'WRITE_FAILED',
    `a leaf could not be made durable: ${messageOf(cause)}`,
    'Free space on the file system of the state directory; if it has space, look for disk errors and restart.',
    cause,
  )
}
