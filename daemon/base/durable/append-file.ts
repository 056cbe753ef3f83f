import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { failure } from './error.ts'
import { type FileSystem, type OpenFile, realFileSystem, writeFully } from './file-system.ts'
import { syncDirectory } from './files.ts'

const { O_CREAT, O_RDWR } = constants

/** A file that only grows. Not for concurrent use: the caller orders its calls. */
export class AppendFile {
  readonly path: string
  readonly #file: OpenFile
  #size: number

  private constructor(path: string, file: OpenFile, size: number) {
    this.path = path
    this.#file = file
    this.#size = size
  }

  /** Opens the file to append to it, making it (durably) if need be. */
  static async open(
    path: string,
    options: { readonly mode?: number; readonly fs?: FileSystem } = {},
  ): Promise<AppendFile> {
    const { mode = 0o600, fs = realFileSystem } = options
    try {
      const file = await fs.open(path, O_RDWR | O_CREAT, mode)
      try {
        const { size } = await file.stat()
        if (size === 0) await syncDirectory(dirname(path), fs)
        return new AppendFile(path, file, size)
      } catch (error) {
        await file.close().catch(() => undefined)
        throw error
      }
    } catch (error) {
      throw failure('open', path, error)
    }
  }

  /** Bytes appended so far, durable or not. */
  get size(): number {
    return this.#size
  }

  /**
   * Appends all the bytes; they are durable after {@link sync}. After an error `size` is as before, and part of
   * the bytes may lie behind it: `truncate(size)` or the next append takes them away.
   */
  async append(buffers: Buffer[]): Promise<void> {
    try {
      this.#size += await writeFully(this.#file, buffers, this.#size)
    } catch (error) {
      throw failure('write', this.path, error)
    }
  }

  /** fdatasync. After an error nothing is known of the bytes since the last success: stop using the file. */
  async sync(): Promise<void> {
    try {
      await this.#file.datasync()
    } catch (error) {
      throw failure('sync', this.path, error)
    }
  }

  async truncate(size: number): Promise<void> {
    try {
      await this.#file.truncate(size)
      this.#size = size
    } catch (error) {
      throw failure('truncate', this.path, error)
    }
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}
