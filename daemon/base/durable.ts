/**
 * All code that makes files durable: fsync, rename, directories, locks. Nothing else in the gateway calls
 * fsync, so that the reasons stand in one place and a test can make each call fail in turn.
 *
 * The rules (fsync(2), rename(2); "All File Systems Are Not Created Equal", OSDI 2014):
 * - a file's bytes are durable after fsync of the file; its name, after fsync of the directory that holds it;
 * - rename replaces atomically only for readers; after a power loss the new name may hold nothing unless the
 *   bytes were synced before;
 * - an fsync that failed must not be repeated: the kernel may have dropped the dirty pages, and the second
 *   call then lies. Whoever gets an error from `sync` stops using the file.
 */
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { AnchorError, messageOf } from './errors.ts'

export type DurableErrorCode = 'LOCKED' | 'LOCK_FAILED' | 'NO_SPACE' | 'DENIED' | 'IO'

export class DurableError extends AnchorError<DurableErrorCode> {}

/** What is used of an open file; node's FileHandle has this shape. */
export interface OpenFile {
  readonly fd: number
  writev(buffers: Uint8Array[], position: number): Promise<{ bytesWritten: number }>
  sync(): Promise<void>
  datasync(): Promise<void>
  truncate(length: number): Promise<void>
  stat(): Promise<{ size: number }>
  close(): Promise<void>
}

/** Every call by which this file touches the disk; a test gives one whose calls fail in turn. */
export interface FileSystem {
  open(path: string, flags: number, mode?: number): Promise<OpenFile>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  rmdir(path: string): Promise<void>
  readdir(path: string): Promise<string[]>
  /** Makes the directory and its parents; the topmost one made, or undefined if all were there. */
  mkdir(path: string, mode: number): Promise<string | undefined>
  /** Takes the lock that ends with the open file (flock), without waiting: false if another holds it. */
  lock(fd: number): Promise<boolean>
}

export const realFileSystem: FileSystem = {
  open: (path, flags, mode) => open(path, flags, mode),
  rename,
  unlink,
  rmdir,
  readdir: (path) => readdir(path),
  mkdir: (path, mode) => mkdir(path, { recursive: true, mode }),
  lock: lockDescriptor,
}

export interface WriteOptions {
  /** Permission bits of a new file (less the umask). Default 0o600. */
  readonly mode?: number
  /** False: atomic for readers, but a power loss may undo it. Default true. */
  readonly durable?: boolean
  /** `later`: the caller syncs the directory itself, once for several files. Default `now`. */
  readonly directory?: 'now' | 'later'
  /** Where the bytes are first written, on the same file system. Default: a unique name beside `path`. */
  readonly temporary?: string
  readonly fs?: FileSystem
}

const { O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants
let temporaries = 0

/**
 * Replaces a file's content at once: readers and a crash see the old bytes or the new ones, never a mixture.
 * @throws DurableError NO_SPACE, DENIED or IO; the old file then still stands.
 */
export async function writeFileAtomic(
  path: string,
  bytes: Uint8Array,
  options: WriteOptions = {},
): Promise<void> {
  const { mode = 0o600, durable = true, directory = 'now', fs = realFileSystem } = options
  const temporary =
    options.temporary ?? join(dirname(path), `.${basename(path)}.${process.pid}-${temporaries++}.tmp`)
  try {
    const file = await fs.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode)
    try {
      await writeFully(file, [bytes], 0)
      if (durable) await file.sync()
    } finally {
      await file.close()
    }
    await fs.rename(temporary, path)
  } catch (error) {
    await fs.unlink(temporary).catch(() => undefined)
    throw failure('write', path, error)
  }
  if (durable && directory === 'now') await syncDirectory(dirname(path), fs)
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string, fs: FileSystem = realFileSystem): Promise<void> {
  await syncPath(path, O_RDONLY | O_DIRECTORY, fs)
}

/** Makes a file durable that somebody else wrote, such as a process that died before its own fsync. */
export async function syncFile(path: string, fs: FileSystem = realFileSystem): Promise<void> {
  await syncPath(path, O_RDONLY, fs)
}

async function syncPath(path: string, flags: number, fs: FileSystem): Promise<void> {
  try {
    const file = await fs.open(path, flags)
    try {
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    throw failure('sync', path, error)
  }
}

/** Makes a directory and its parents, durably; one that is there already is fine and keeps its mode. */
export async function makeDirectory(
  path: string,
  options: { readonly mode?: number; readonly fs?: FileSystem } = {},
): Promise<void> {
  const { mode = 0o700, fs = realFileSystem } = options
  const target = resolve(path)
  let first: string | undefined
  try {
    first = await fs.mkdir(target, mode)
  } catch (error) {
    throw failure('make the directory', path, error)
  }
  if (first === undefined) return
  const top = dirname(resolve(first))
  for (let made = dirname(target); made.length >= top.length; made = dirname(made)) {
    await syncDirectory(made, fs)
    if (made === dirname(made)) break
  }
}

/** Removes a file durably; one that is gone already is fine. */
export async function removeFile(path: string, fs: FileSystem = realFileSystem): Promise<void> {
  try {
    await fs.unlink(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw failure('remove', path, error)
  }
  await syncDirectory(dirname(path), fs)
}

/** Gives a file another name, durably, in the same or another directory of the file system; it replaces what is there. */
export async function moveFile(from: string, to: string, fs: FileSystem = realFileSystem): Promise<void> {
  try {
    await fs.rename(from, to)
  } catch (error) {
    throw failure('rename', from, error)
  }
  await syncDirectory(dirname(to), fs)
  if (dirname(from) !== dirname(to)) await syncDirectory(dirname(from), fs)
}

/** Replaces bytes of a file where they stand, durably; false where there is no such file. */
export async function overwriteFile(
  path: string,
  bytes: Buffer,
  position: number,
  fs: FileSystem = realFileSystem,
): Promise<boolean> {
  try {
    const file = await fs.open(path, O_WRONLY)
    try {
      await writeFully(file, [bytes], position)
      await file.datasync()
    } finally {
      await file.close()
    }
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw failure('overwrite', path, error)
  }
}

/**
 * Removes a file whose first `head` bytes are needed to read the rest: they are overwritten in place before the name
 * goes, so that the blocks which the file system gives free say nothing more. One that is gone already is fine.
 */
export async function shredFile(path: string, head: number, fs: FileSystem = realFileSystem): Promise<void> {
  if (await overwriteFile(path, Buffer.alloc(head), 0, fs)) await removeFile(path, fs)
}

/** Removes a directory of plain files durably; one that is gone already is fine. */
export async function removeDirectory(path: string, fs: FileSystem = realFileSystem): Promise<void> {
  try {
    for (const name of await fs.readdir(path)) await fs.unlink(join(path, name))
    await fs.rmdir(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw failure('remove', path, error)
  }
  await syncDirectory(dirname(path), fs)
}

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

export type Release = () => Promise<void>

/**
 * Takes a lock that one open file in the whole system can hold (flock): it also refuses a second time within
 * this process, and the kernel ends it with the process, so that no stale lock is ever left. The file stays.
 * @throws DurableError LOCKED if somebody holds it, LOCK_FAILED where the file system has no locks.
 */
export async function lockExclusive(path: string, fs: FileSystem = realFileSystem): Promise<Release> {
  let file: OpenFile
  try {
    file = await fs.open(path, O_RDWR | O_CREAT, 0o600)
  } catch (error) {
    throw failure('open', path, error)
  }
  let taken = false
  try {
    taken = await fs.lock(file.fd)
  } finally {
    if (!taken) await file.close()
  }
  if (!taken) {
    throw new DurableError(
      'LOCKED',
      `${path} is locked by another process`,
      'Stop the process that uses it first.',
    )
  }
  let released = false
  return async () => {
    if (released) return
    released = true
    await file.close()
  }
}

// flock(2): LOCK_EX | LOCK_NB, the same numbers on Linux and macOS.
const LOCK_EX_NB = 2 | 4

/** Node has no flock; koffi is loaded only where a lock is taken. */
async function lockDescriptor(fd: number): Promise<boolean> {
  const { default: koffi } = await import('koffi')
  const flock = koffi.load(null).func('int flock(int fd, int operation)') as (
    fd: number,
    operation: number,
  ) => number
  if (flock(fd, LOCK_EX_NB) === 0) return true
  const errno = koffi.errno()
  if (errno === koffi.os.errno.EAGAIN) return false
  throw new DurableError(
    'LOCK_FAILED',
    `the file system refused a lock (errno ${errno})`,
    'Keep the state directory on a local file system.',
  )
}

/** Writes everything, going on after short writes; the number of bytes. */
async function writeFully(file: OpenFile, buffers: readonly Uint8Array[], position: number): Promise<number> {
  let rest = buffers.filter((buffer) => buffer.length > 0)
  let written = 0
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest, position + written)
    if (bytesWritten === 0) throw new Error('the file system took no bytes')
    written += bytesWritten
    rest = after(rest, bytesWritten)
  }
  return written
}

/** The buffers less their first `count` bytes. */
function after(buffers: Uint8Array[], count: number): Uint8Array[] {
  let skip = count
  let index = 0
  while (index < buffers.length && skip >= buffers[index]!.length) skip -= buffers[index++]!.length
  const rest = buffers.slice(index)
  if (skip > 0) rest[0] = rest[0]!.subarray(skip)
  return rest
}

function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

const REMEDIES = {
  NO_SPACE: 'Free space on this file system (or raise the quota).',
  DENIED: 'Give the service its directory back: owner, permissions, and not mounted read-only.',
  IO: 'Look at the kernel log for disk errors, then start the service again.',
} as const

function failure(what: string, path: string, cause: unknown): DurableError {
  if (cause instanceof DurableError) return cause
  const errno = errnoOf(cause)
  const code =
    errno === 'ENOSPC' || errno === 'EDQUOT'
      ? 'NO_SPACE'
      : errno === 'EACCES' || errno === 'EPERM' || errno === 'EROFS'
        ? 'DENIED'
        : 'IO'
  return new DurableError(code, `cannot ${what} ${path}: ${messageOf(cause)}`, REMEDIES[code], cause)
}
