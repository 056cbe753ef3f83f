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
  | 'CA_HISTORY_DAMAGED'
  | 'NO_ROTATION'
  | 'ROTATION_STEP'

export class SupervisorError extends AnchorError<SupervisorErrorCode> {}
