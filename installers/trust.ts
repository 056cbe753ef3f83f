/** The trust stores of this machine, by the names that the manifest keeps. */
import type { StoreOptions } from '../ca/trust-stores/anchor-store.ts'
import { CHROMIUM_KIN, chromiumPolicyStore } from '../ca/trust-stores/chromium-policy.ts'
import { javaTrustStore, vendorJdks } from '../ca/trust-stores/java.ts'
import { type LocalUser, localUsers } from '../ca/trust-stores/local-users.ts'
import { nssDatabases, nssTrustStore } from '../ca/trust-stores/nss.ts'
import { runCommand } from '../ca/trust-stores/run-command.ts'
import type { TrustStore } from '../ca/trust-stores/trust-store.ts'
import { InstallError } from './install-error.ts'
import { systemTrustStore } from './system-family.ts'

/** The operating system's store. @throws InstallError where this distribution's isn't known. */
export function machineTrustStore(options: StoreOptions = {}): TrustStore {
  const store = systemTrustStore(options)
  if (store !== undefined) return store
  throw new InstallError(
    'UNSUPPORTED_TRUST_STORE',
    "this machine's trust store is of no kind that is known (os-release names none of Debian, RHEL, Arch, SUSE, Alpine, NixOS)",
    'Put ID_LIKE=debian (or the like) into /etc/os-release if the system is built like one of these.',
  )
}

/**
 * Every store that is found: the operating system's first, which all others only complete (browsers, vendors' JDKs,
 * users' databases). As an ordinary user, of users' databases only their own.
 */
export async function machineTrustStores(options: StoreOptions = {}): Promise<TrustStore[]> {
  const { run = runCommand } = options
  const browsers = CHROMIUM_KIN.map((browser) => chromiumPolicyStore(browser, options))
  const jdks = await vendorJdks(options.root)
  const users = await visibleUsers(run)
  const withDatabases = await Promise.all(
    users.map(async (user) => (await nssDatabases(user, run)).length > 0),
  )
  return [
    machineTrustStore(options),
    ...browsers.filter(({ isThere }) => isThere()),
    ...jdks.map((jdk) => javaTrustStore(jdk, options)),
    ...users.filter((_, i) => withDatabases[i]).map(({ name }) => nssTrustStore(name, { run })),
  ]
}

/** Of these stores, those in which an authority of ours stands, this or another. */
export async function storesOfOurs(
  stores: readonly TrustStore[],
  certificates: readonly string[],
): Promise<TrustStore[]> {
  // One that can't be looked at may hold it: whoever changes it will hear why it can't be.
  const states = await Promise.all(stores.map((store) => store.check(certificates).catch(() => 'stale')))
  return stores.filter((_, i) => states[i] === 'trusted' || states[i] === 'stale')
}

async function visibleUsers(run: typeof runCommand): Promise<LocalUser[]> {
  const me = process.getuid?.() ?? 0
  const users = await localUsers(run).catch(() => [])
  return me === 0 ? users : users.filter(({ uid }) => uid === me)
}

/** The store of that name, for taking it back, whether it is still found or not. */
export function trustStore(name: string): TrustStore {
  const [kind, of] = split(name)
  if (of !== undefined) {
    if (kind === 'java' && of.startsWith('/')) return javaTrustStore(of)
    if (kind === 'nss') return nssTrustStore(of)
    if (kind === 'policy' && CHROMIUM_KIN.includes(of)) return chromiumPolicyStore(of)
  }
  const store = systemTrustStore()
  if (store?.name === name) return store
  throw new InstallError(
    'UNSUPPORTED_TRUST_STORE',
    `unknown trust store ${name} in the manifest`,
    'Undo it by hand.',
  )
}

function split(name: string): [kind: string, of: string | undefined] {
  const colon = name.indexOf(':')
  return colon < 0 ? [name, undefined] : [name.slice(0, colon), name.slice(colon + 1)]
}
