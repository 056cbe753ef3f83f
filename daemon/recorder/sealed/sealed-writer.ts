/** Appends sealed entries (format.ts) to one file, and takes back what could not be written whole. */
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { AppendFile } from '../../base/durable/append-file.ts'
import type { FileSystem } from '../../base/durable/file-system.ts'
import { removeFile } from '../../base/durable/files.ts'
import { sealedName } from './files.ts'
import { createHeader, FILE_HEADER, openHeader, type Purpose, sealEntry } from './format.ts'

export interface SealedFile {
  readonly dir: string
  readonly purpose: Purpose
  readonly number: number
  readonly bodyKey: Buffer
  readonly fs: FileSystem
}

export interface Span {
  readonly offset: number
  readonly length: number
}

export class SealedWriter {
  readonly number: number
  readonly #target: AppendFile
  readonly #key: KeyObject
  #staged: Buffer[] = []
  #stagedBytes = 0
  #good: number
  #broken = false

  private constructor(number: number, target: AppendFile, key: KeyObject) {
    this.number = number
    this.#target = target
    this.#key = key
    this.#good = target.size
  }

  /** A new file whose name is on disk when this resolves. */
  static async create({ dir, purpose, number, bodyKey, fs }: SealedFile): Promise<SealedWriter> {
    const file = path.join(dir, sealedName(purpose, number))
    const target = await AppendFile.open(file, { fs })
    try {
      const { header, key } = createHeader(bodyKey, purpose, number)
      await target.append([header])
      await target.sync()
      return new SealedWriter(number, target, key)
    } catch (error) {
      await target.close().catch(() => {})
      await removeFile(file, fs).catch(() => {})
      throw error
    }
  }

  /** Goes on writing an existing file at `end`; what stands behind it is cut off. */
  static async reopen({ dir, purpose, number, bodyKey, fs }: SealedFile, end: number): Promise<SealedWriter> {
    const file = path.join(dir, sealedName(purpose, number))
    const { key } = openHeader(bodyKey, purpose, number, readFileSync(file).subarray(0, FILE_HEADER))
    const target = await AppendFile.open(file, { fs })
    if (target.size > end) await target.truncate(end)
    return new SealedWriter(number, target, key)
  }

  /** Length of the file once everything staged is written. */
  get size(): number {
    return this.#target.size + this.#stagedBytes
  }

  get stagedBytes(): number {
    return this.#stagedBytes
  }

  /** True once the file's end can't be trusted any more: go on in another one. */
  get broken(): boolean {
    return this.#broken
  }

  stage(parts: readonly Buffer[]): Span {
    const offset = this.size
    const entry = sealEntry(this.#key, offset, parts)
    this.#staged.push(entry)
    this.#stagedBytes += entry.length
    return { offset, length: entry.length }
  }

  /** Writes what is staged. On an error call {@link rollback}. */
  async flush(): Promise<void> {
    if (this.#staged.length === 0) return
    const buffers = this.#staged
    this.#staged = []
    this.#stagedBytes = 0
    await this.#target.append(buffers)
  }

  async sync(): Promise<void> {
    try {
      await this.#target.sync()
    } catch (error) {
      // After a failed fsync the kernel may have dropped the pages: the file's state is unknown.
      this.#broken = true
      throw error
    }
  }

  /** What is written now stays: a later {@link rollback} keeps it. */
  accept(): void {
    this.#good = this.#target.size
  }

  /** Forgets what is staged and cuts the file back to what was accepted. */
  async rollback(): Promise<void> {
    this.#staged = []
    this.#stagedBytes = 0
    try {
      await this.#target.truncate(this.#good)
    } catch {
      this.#broken = true
    }
  }

  async close(): Promise<void> {
    await this.#target.close()
  }
}
