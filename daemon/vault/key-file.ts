/**
 * Files that hold keys: read only if nobody but their owner could have read or changed them, and created
 * once, never overwritten.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, type FileHandle, link, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { removeFile, writeFileAtomic } from '../base/durable/files.ts'
import { messageOf } from '../base/errors.ts'
import { VaultError } from './vault-error.ts'

/** Linux's user ids: 0 is root. Tests without root give their own. */
export interface Ownership {
  readonly owner: number
}

/**
 * The file's bytes, or undefined if there is none.
 * @throws VaultError `file-insecure` (a link, no plain file, another owner, permissions for others, or a
 *   directory in which others can replace it), `file-unreadable`
 */
export async function readKeyFile(
  path: string,
  limits: Ownership & { maxBytes: number },
): Promise<Buffer | undefined> {
  let file: FileHandle
  try {
    // O_NONBLOCK: opening a FIFO must not hang. O_NOFOLLOW: a link could lead to another's file.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    if (hasCode(error, 'ELOOP')) throw insecure(path, 'is a symbolic link')
    throw unreadable(path, messageOf(error), error)
  }
  try {
    const status = await file.stat()
    if (!status.isFile()) throw insecure(path, 'is not a plain file')
    if (status.uid !== limits.owner) throw insecure(path, `belongs to uid ${status.uid}`)
    if ((status.mode & 0o077) !== 0) {
      throw insecure(path, `has mode ${(status.mode & 0o777).toString(8)}, open to others`)
    }
    if (status.size > limits.maxBytes) throw unreadable(path, `it is larger than ${limits.maxBytes} bytes`)
    await assertDirectory(dirname(path), limits.owner)
    // One byte more than allowed, in case it grew since: a longer result is then no key to anyone.
    const bytes = Buffer.alloc(limits.maxBytes + 1)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0)
    return bytes.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/**
 * Writes a file that isn't there yet, whole and durable, or not at all.
 * @returns false if the path exists already; it is then untouched
 */
export async function createKeyFile(path: string, bytes: Buffer, mode: number): Promise<boolean> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`
  await writeFileAtomic(draft, bytes, { mode })
  try {
    // The umask may have taken bits that a public file needs.
    await chmod(draft, mode)
    // link(2) fails where rename(2) would overwrite. Removing the draft syncs the directory for both.
    await link(draft, path)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw unreadable(path, messageOf(error), error)
  } finally {
    await removeFile(draft)
  }
}

async function assertDirectory(path: string, owner: number): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const status = await directory.stat()
    if (status.uid !== owner) throw insecure(path, `belongs to uid ${status.uid}`)
    if ((status.mode & 0o022) !== 0) throw insecure(path, 'is writable by others')
  } finally {
    await directory.close()
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function insecure(path: string, what: string): VaultError {
  return new VaultError(
    'file-insecure',
    `${path} ${what}`,
    `Find out who could read or change it. If it is sound: chown root ${path} and take all permissions ` +
      'from group and others. If not, treat the keys as known to others and replace them.',
  )
}

function unreadable(path: string, what: string, cause?: unknown): VaultError {
  return new VaultError(
    'file-unreadable',
    `the key file ${path} can't be used: ${what}`,
    'Run as root, and check the file system for errors and free space.',
    cause,
  )
}
