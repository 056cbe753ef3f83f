import { AnchorError } from '../daemon/base/errors.ts'

export type InstallErrorCode =
  | 'MANIFEST_DAMAGED'
  | 'COMMAND_FAILED'
  | 'NOT_INSTALLED'
  | 'DAEMON_DID_NOT_START'
  | 'CANARY_FAILED'
  | 'UNSUPPORTED_TRUST_STORE'
  | 'INTERRUPTED'
  | 'NO_ACCOUNT_TOOL'
  | 'CONFIGURATION_STANDS'

export class InstallError extends AnchorError<InstallErrorCode> {}
