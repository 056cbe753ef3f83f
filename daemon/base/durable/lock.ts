import { constants } from 'node:fs'
import { DurableError, failure } from './error.ts'
import { type FileSystem, type OpenFile, realFileSystem } from './file-system.ts'

const { O_CREAT, O_RDWR } = constants

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
