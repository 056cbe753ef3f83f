import { AnchorError } from '../daemon/base/errors.ts'

export type FirewallErrorCode =
  /** A value of the configuration or of DNS that must not reach a ruleset. */
  | 'invalid-enforcement'
  | 'nft-missing'
  | 'setpriv-missing'
  /** CAP_NET_ADMIN is lacking, or the table belongs to another process. */
  | 'not-permitted'
  | 'kernel-unsupported'
  /** nft or the kernel refused the ruleset; the message is nft's own. */
  | 'rules-refused'
  | 'nft-unresponsive'
  /** The child that owns the redirect is gone. */
  | 'redirect-lost'
  /** Changes of the ruleset can't be watched. */
  | 'watch-blind'
  | 'port-taken'
  /** A system call failed for a reason that none of the other codes names. */
  | 'system-call'

/** What the firewall's functions throw or reject with. */
export class FirewallError extends AnchorError<FirewallErrorCode> {}
