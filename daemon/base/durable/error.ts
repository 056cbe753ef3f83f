/** What goes wrong with files that must last, and what to do. */
import { AnchorError, messageOf } from '../errors.ts'

export type DurableErrorCode = 'LOCKED' | 'LOCK_FAILED' | 'NO_SPACE' | 'DENIED' | 'IO'

export class DurableError extends AnchorError<DurableErrorCode> {}

const REMEDIES = {
  NO_SPACE: 'Free space on this file system (or raise the quota).',
  DENIED: 'Give the service its directory back: owner, permissions, and not mounted read-only.',
  IO: 'Look at the kernel log for disk errors, then start the service again.',
} as const

/** The error that a call's failure is told as. */
export function failure(what: string, path: string, cause: unknown): DurableError {
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

export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
