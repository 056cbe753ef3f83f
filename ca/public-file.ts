/** Files of the machine that all users must be able to read, such as /etc/environment and a trust anchor. */
import { randomBytes } from 'node:crypto'
import { chmod, chown, rm, writeFile } from 'node:fs/promises'
import { writeFileAtomic } from '../daemon/base/durable/files.ts'
import { AnchorError, messageOf } from '../daemon/base/errors.ts'
import { CaError } from './ca-error.ts'

export interface FileAttributes {
  /** Permission bits as they shall be, whatever the umask: a 0600 /etc/environment would blind all logins. */
  readonly mode: number
  readonly uid?: number
  readonly gid?: number
}

/**
 * Replaces a file at once and durably, with exactly these attributes from its first moment.
 * @throws CaError `file-unwritable`, or the DurableError of the writing itself
 */
export async function writePublicFile(
  path: string,
  bytes: Buffer,
  attributes: FileAttributes,
): Promise<void> {
  const { mode, uid, gid } = attributes
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    await writeFile(temporary, '', { flag: 'wx', mode: 0o600 })
    if (uid !== undefined && gid !== undefined) await chown(temporary, uid, gid)
    await chmod(temporary, mode)
    await writeFileAtomic(path, bytes, { mode, temporary })
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    if (error instanceof AnchorError) throw error
    throw new CaError(
      'file-unwritable',
      `${path} can't be written: ${messageOf(error)}`,
      'Run this as root, and make sure that the file system is mounted read-write.',
      error,
    )
  }
}
