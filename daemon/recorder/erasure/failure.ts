/** Why an erasure failed, as it goes from the finaliser's thread to who asked for it. */
import { AnchorError, messageOf } from '../../base/errors.ts'

export interface ErasureFailure {
  readonly code: string
  readonly message: string
  readonly remedy: string
}

export function failureOf(error: unknown): ErasureFailure {
  if (error instanceof AnchorError) {
    const { code, message, remedy } = error
    return { code, message, remedy }
  }
  return {
    code: 'WRITE_FAILED',
    message: messageOf(error),
    remedy: 'See the log of the recorder; then erase again: what was done stays done.',
  }
}
