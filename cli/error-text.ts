import { AnchorError, messageOf } from '../daemon/base/errors.ts'

/** An error as one line: what happened, then what to do. */
export const said = (error: unknown): string =>
  error instanceof AnchorError ? `${error.message}. ${error.remedy}` : messageOf(error)
