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
  // Which provider holds the wrapping key, and whether it can be had.
  | 'provider-differs'
  | 'provider-unavailable'
  | 'wrapping-key-missing'
  | 'wrapping-key-damaged'
  | 'wrapping-key-wrong'
  | 'systemd-creds-failed'
  | 'passphrase-weak'
  | 'passphrase-wrong'
  | 'pkcs11-module'
  | 'pkcs11-token-missing'
  | 'pkcs11-pin-wrong'
  | 'pkcs11-pin-locked'
  | 'pkcs11-key-missing'
  | 'pkcs11-failed'
  | 'keychain-failed'
  // Where a passphrase or PIN comes from.
  | 'secret-needed'
  | 'plaintext-refused'
  // Rotation.
  | 'rotation-damaged'
  | 'rotation-under-way'
  | 'import-invalid'

/** Everything that can go wrong with keys. No message and no cause ever holds a byte of one. */
export class VaultError extends AnchorError<VaultErrorCode> {}
