/** Names inside the ledger's directory, and reading of files that may not be there. */
import { readFileSync } from 'node:fs'
import { messageOf } from '../base/errors.ts'
import { LedgerError } from './errors.ts'

export const CHECKPOINT_FILE = 'checkpoint'
export const COSIGNED_FILE = 'cosigned'
export const STATE_FILE = 'state.json'
export const WAL_DIRECTORY = 'wal'
export const TILE_DIRECTORY = 'tile'
export const LOCK_FILE = 'lock'
/** Where each file is written before it is renamed: the integrator writes one at a time. */
export const TEMPORARY_FILE = '.next'

/** Undefined if there is no such file, or no such directory. @throws LedgerError UNREADABLE */
export function readIfPresent(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if (isAbsent(error)) return undefined
    const remedy = 'Read it as root, and look at the kernel log for disk errors.'
    throw new LedgerError('UNREADABLE', `${path} can't be read: ${messageOf(error)}`, remedy, error)
  }
}

export function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
