/**
 * - `trusted`: exactly these certificates are anchored and in what programs read
 * - `absent`: nothing of ours is there
 * - `stale`: other certificates of ours, or half of an install or uninstall; `install` mends it
 * - `unsupported`: this machine has no such store
 */
export type TrustState = 'trusted' | 'absent' | 'stale' | 'unsupported'

/**
 * One place where programs look for roots. Both changes are idempotent, and each undoes the other. The certificates
 * (PEM) are the authority's one, or two while it is changed for another: the one in use and its successor.
 */
export interface TrustStore {
  /** By which the install manifest keeps it. */
  readonly name: string
  /** What it is, for people. */
  readonly where: string
  /** The operating system's own, which most programs read: without it an install has failed. */
  readonly system: boolean
  check(certificates: readonly string[]): Promise<TrustState>
  /** Puts these in the place of whatever was ours there. */
  install(certificates: readonly string[]): Promise<void>
  uninstall(): Promise<void>
}
