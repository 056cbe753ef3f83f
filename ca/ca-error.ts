import { AnchorError } from '../daemon/base/errors.ts'

export type CaErrorCode =
  | 'name-malformed'
  | 'name-outside-constraints'
  | 'no-permitted-domains'
  | 'public-key-unsuitable'
  | 'authority-damaged'
  | 'authority-not-valid-now'
  | 'no-system-bundle'
  | 'system-bundle-unusable'
  | 'trust-store-unsupported'
  | 'trust-store-tool-missing'
  | 'trust-store-unreadable'
  | 'trust-store-read-only'
  | 'trust-store-taken'
  | 'trust-store-refresh-failed'
  | 'trust-store-hook-failed'
  | 'certificate-unsuitable'
  | 'environment-value-unsafe'
  | 'environment-block-damaged'
  | 'environment-file-unreadable'
  | 'file-unwritable'

/** Everything that can go wrong in this room: authority, leaves, trust stores, client environment. */
export class CaError extends AnchorError<CaErrorCode> {}
