import type { z } from 'zod'
import { AnchorError } from '../base/errors.ts'

/**
 * DAMAGED: bytes on disk don't authenticate or don't parse.
 * NOT_FOUND: a record or a stored part is not there.
 * AMBIGUOUS: a record id's prefix fits several.
 * MALFORMED: a peer's frame or message breaks the protocol.
 * WRITE_FAILED: the disk refused; the cause carries its code.
 * BAD_START: the supervisor's start message is not usable.
 */
export type RecorderErrorCode =
  | 'DAMAGED'
  | 'NOT_FOUND'
  | 'AMBIGUOUS'
  | 'MALFORMED'
  | 'WRITE_FAILED'
  | 'BAD_START'

export class RecorderError extends AnchorError<RecorderErrorCode> {}

/** The system's code of a failure (ENOSPC, EIO …), `UNKNOWN` where there is none. */
export function systemCode(error: unknown): string {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const code = (at as NodeJS.ErrnoException).code
    if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return code
  }
  return 'UNKNOWN'
}

/** What a schema found wrong, in one line that is fit for a log: names in it may be an attacker's. */
export function schemaMessage({ issues }: z.ZodError): string {
  const text = issues.map(({ path, message }) => `${path.join('.') || 'it'}: ${message}`).join('; ')
  return text.slice(0, 300).replace(/[^ -~]/g, '?')
}
