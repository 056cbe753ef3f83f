import { VaultError } from './vault-error.ts'

/**
 * Wraps secrets for rest. A blob opens only in the vault that sealed it, for the purpose it was sealed
 * for, and only if not a bit of it changed.
 */
export interface Vault {
  /** What protects the keys, as `status` names it: "host-key". */
  readonly level: string
  /** @throws VaultError `purpose-invalid`, `secret-invalid` (empty or above 64 KiB) */
  seal(purpose: string, secret: Buffer): Promise<Buffer>
  /**
   * The secret, in a Buffer of the caller's own to wipe.
   * @throws VaultError `sealed-damaged`, `host-key-wrong`
   */
  open(purpose: string, sealed: Buffer): Promise<Buffer>
}

export const MAX_SECRET_BYTES = 64 * 1024

/** @throws VaultError `purpose-invalid` */
export function assertPurpose(purpose: string): void {
  if (/^[a-z][a-z0-9-]{0,31}$/.test(purpose)) return
  throw new VaultError(
    'purpose-invalid',
    `${JSON.stringify(String(purpose).slice(0, 64))} is no purpose of a key`,
    'Name purposes with lower-case letters, digits and hyphens, at most 32 characters.',
  )
}
