/**
 * - `trusted`: exactly this certificate is anchored and in what programs read
 * - `absent`: nothing of ours is there
 * - `stale`: another certificate of ours, or half of an install or uninstall; `install` mends it
 * - `unsupported`: this machine has no such store
 */
export type TrustState = 'trusted' | 'absent' | 'stale' | 'unsupported'

/** One place where programs look for roots. Both changes are idempotent, and each undoes the other. */
export interface TrustStore {
  readonly name: string
  check(certificatePem: string): Promise<TrustState>
  install(certificatePem: string): Promise<void>
  uninstall(): Promise<void>
}
