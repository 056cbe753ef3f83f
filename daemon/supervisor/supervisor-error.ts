import { AnchorError } from '../base/errors.ts'

export type SupervisorErrorCode =
  | 'NOT_ROOT'
  | 'PLATFORM'
  | 'ACCOUNT_MISSING'
  | 'ALREADY_RUNNING'
  | 'CHILD_FAILED'
  | 'BAD_MESSAGE'
  | 'CA_INCOMPLETE'
  | 'ORIGIN_FIXED'
  | 'NEEDS_RESTART'
  | 'NEEDS_RESTART'

export class SupervisorError extends AnchorError<SupervisorErrorCode> {}
