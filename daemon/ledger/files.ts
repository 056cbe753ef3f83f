/** Names inside the ledger's directory, and reading of files that may not be there. */
import { readFileSync } from 'node:fs'

export const CHECKPOINT_FILE = 'checkpoint'
export const STATE_FILE = 'state.json'
export const WAL_DIRECTORY = 'wal'
export const TILE_DIRECTORY = 'tile'
export const LOCK_FILE = 'lock'
/** Where each file is written before it is renamed: the integrator writes one at a time. */
export const TEMPORARY_FILE = '.next'

/** Undefined if there is no such file, or no such directory; other errors are thrown. */
export function readIfPresent(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

export function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
