/** Looking at a store's files; what can't be read is told from what isn't there. */
import { constants } from 'node:fs'
import { access, lstat, readdir, readFile } from 'node:fs/promises'
import { messageOf } from '../../daemon/base/errors.ts'
import { CaError } from '../ca-error.ts'

/** The text (latin1), or undefined where there is no such file. @throws CaError `trust-store-unreadable` */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw unreadable(path, error)
  }
}

/** The names in a directory, sorted; none where there is no such directory. @throws CaError `trust-store-unreadable` */
export async function readNames(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort()
  } catch (error) {
    if (isMissing(error)) return []
    throw unreadable(directory, error)
  }
}

/** True for a dead link too: it is what a half-done change leaves. */
export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}

export async function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}

function unreadable(path: string, cause: unknown): CaError {
  return new CaError(
    'trust-store-unreadable',
    `${path} cannot be read: ${messageOf(cause)}`,
    'Run this as root, and mend the file system if that does not help.',
    cause,
  )
}
