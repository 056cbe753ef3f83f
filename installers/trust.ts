/** The trust store and environment sinks of this machine, by the names that the manifest keeps. */
import { existsSync } from 'node:fs'
import { clientEnvironment, type EnvironmentSink } from '../ca/client-environment.ts'
import { etcEnvironmentSink } from '../ca/etc-environment.ts'
import { profileSink } from '../ca/profile-d.ts'
import { systemBundlePath } from '../ca/system-roots.ts'
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

/** Where clients are told to trust us: one list, two sinks so far. */
export function environmentSinks(certificateFile: string): EnvironmentSink[] {
  const variables = clientEnvironment({ certificateFile, bundleFile: systemBundlePath() })
  return [etcEnvironmentSink({ variables }), profileSink({ variables })]
}

/** The sink of that name, for taking it back: what it holds doesn't matter then. */
export function environmentSink(name: string): EnvironmentSink {
  const sinks = [etcEnvironmentSink({ variables: [] }), profileSink({ variables: [] })]
  const sink = sinks.find((known) => known.name === name)
  if (sink) return sink
  throw new InstallError(
    'UNSUPPORTED_TRUST_STORE',
    `unknown environment ${name} in the manifest`,
    'Undo it by hand.',
  )
}
