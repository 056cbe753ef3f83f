/** The trust store of this machine, by the name that the manifest keeps. */
import { existsSync } from 'node:fs'
import { debianTrustStore } from '../ca/trust-stores/debian.ts'
import type { TrustStore } from '../ca/trust-stores/trust-store.ts'
import { InstallError } from './install-error.ts'

/** The operating system's store. @throws InstallError where this distribution's isn't supported yet. */
export function machineTrustStore(): TrustStore {
  if (existsSync('/usr/local/share/ca-certificates') && existsSync('/usr/sbin/update-ca-certificates')) {
    return debianTrustStore()
  }
  throw new InstallError(
    'UNSUPPORTED_TRUST_STORE',
    "this machine's trust store is not one of Debian's kind (update-ca-certificates)",
    'Install on Debian or Ubuntu; other distributions follow.',
  )
}

export function trustStore(name: string): TrustStore {
  const store = machineTrustStore()
  if (store.name === name) return store
  throw new InstallError(
    'UNSUPPORTED_TRUST_STORE',
    `unknown trust store ${name} in the manifest`,
    'Undo it by hand.',
  )
}
