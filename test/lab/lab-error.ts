import { AnchorError } from '../../daemon/base/errors.ts'

export type LabErrorCode =
  | 'not-linux'
  | 'not-root'
  | 'program-missing'
  | 'kernel-lacks'
  | 'outside'
  | 'command-failed'
  | 'internet-failed'
  | 'evm-failed'
  | 'unknown-user'
  | 'gateway-did-not-start'
  | 'no-json'
  | 'npm-cache-missing'
  | 'runtimes-missing'
  | 'witness-failed'

/** What went wrong while the laboratory was set up or used. */
export class LabError extends AnchorError<LabErrorCode> {}
