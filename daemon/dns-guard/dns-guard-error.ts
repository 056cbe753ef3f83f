import { AnchorError } from '../base/errors.ts'

export type DnsGuardErrorCode =
  /** No name server answered, or there is none. */
  | 'upstream-failed'
  /** What the supervisor sent has another shape. */
  | 'bad-message'

export class DnsGuardError extends AnchorError<DnsGuardErrorCode> {}
