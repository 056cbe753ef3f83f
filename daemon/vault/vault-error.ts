import { AnchorError } from '../base/errors.ts'

export type VaultErrorCode =
  | 'host-key-missing'
  | 'host-key-damaged'
  | 'host-key-wrong'
  | 'file-insecure'
  | 'file-unreadable'
  | 'purpose-invalid'
  | 'secret-invalid'
  | 'sealed-plaintext'
  | 'sealed-damaged'
  | 'sealed-elsewhere'
  | 'already-sealed'
  | 'keys-incomplete'
  | 'verifier-key-differs'

/** Everything that can go wrong with keys. No message and no cause ever holds a byte of one. */
export class VaultError extends AnchorError<VaultErrorCode> {}
