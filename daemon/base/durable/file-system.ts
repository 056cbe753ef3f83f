/**
 * What makes files durable: fsync, rename, directories, locks. Nothing outside this folder calls
 * fsync, so that the reasons stand in one place and a test can make each call fail in turn.
 *
 * The rules (fsync(2), rename(2); "All File Systems Are Not Created Equal", OSDI 2014):
 * - a file's bytes are durable after fsync of the file; its name, after fsync of the directory that holds it;
 * - rename replaces atomically only for readers; after a power loss the new name may hold nothing unless the
 *   bytes were synced before;
 * - an fsync that failed must not be repeated: the kernel may have dropped the dirty pages, and the second
 *   call then lies. Whoever gets an error from `sync` stops using the file.
 */
import { mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises'
import { DurableError } from './error.ts'

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

/** Every call by which this folder touches the disk; a test gives one whose calls fail in turn. */
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
export async function writeFully(
  file: OpenFile,
  buffers: readonly Uint8Array[],
  position: number,
): Promise<number> {
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
