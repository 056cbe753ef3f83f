/** Who writes a log holds its lock: a daemon, or who repairs it while none runs. */
import { join } from 'node:path'
import { DurableError } from '../base/durable/error.ts'
import type { FileSystem } from '../base/durable/file-system.ts'
import { lockExclusive, type Release } from '../base/durable/lock.ts'
import { LedgerError } from './errors.ts'
import { LOCK_FILE } from './files.ts'

/** @throws LedgerError LOCKED, DurableError */
export async function lockLedger(dir: string, fs: FileSystem): Promise<Release> {
  try {
    return await lockExclusive(join(dir, LOCK_FILE), fs)
  } catch (cause) {
    if (!(cause instanceof DurableError) || cause.code !== 'LOCKED') throw cause
    const remedy = 'Stop the daemon that runs on this state directory, or give this one another stateDir.'
    throw new LedgerError('LOCKED', `another process writes the log in ${dir}`, remedy, cause)
  }
}
