/** Files and directories as wholes: written, moved and removed so that they stay so through a power loss. */
import { constants } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { errnoOf, failure } from './error.ts'
import { type FileSystem, realFileSystem, writeFully } from './file-system.ts'

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

const { O_CREAT, O_DIRECTORY, O_RDONLY, O_TRUNC, O_WRONLY } = constants
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
