import { VaultError } from './vault-error.ts'

/**
 * Wraps secrets for rest. A blob opens only in the vault that sealed it, for the purpose it was sealed
 * for, and only if not a bit of it changed.
 */
export interface Vault {
  /** What protects the keys, as it stands in each sealed file: "host-key", "pkcs11" … */
  readonly level: string
  /** @throws VaultError `purpose-invalid`, `secret-invalid` (empty or above 64 KiB) */
  seal(purpose: string, secret: Buffer): Promise<Buffer>
  /**
   * The secret, in a Buffer of the caller's own to wipe.
   * @throws VaultError `sealed-damaged`, `host-key-wrong`, `wrapping-key-wrong`
   */
  open(purpose: string, sealed: Buffer): Promise<Buffer>
  /** The vault of another level, for files that a move between the two has not reached yet. */
  sibling?(level: string): Promise<Vault | undefined>
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
