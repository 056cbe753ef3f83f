/**
 * The CA on disk: certificate public, key sealed by the vault. The supervisor alone opens the key.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createAuthority, type PermittedDomains, permittedDomainsOf } from '../../ca/authority.ts'
import { makeDirectory, writeFileAtomic } from '../base/durable.ts'
import { messageOf } from '../base/errors.ts'
import { openSealed, sealTo } from '../vault/sealed-file.ts'
import type { Vault } from '../vault/vault.ts'
import type { Layout } from './layout.ts'
import { SupervisorError } from './supervisor-error.ts'

export interface StoredAuthority {
  readonly certificatePem: string
  readonly privateKeyPem: string
}

const PURPOSE = 'ca-key'

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

/**
 * Opens the CA, or makes it where neither certificate nor key is there.
 * @throws SupervisorError CA_INCOMPLETE where only one of the two is: someone took the other away.
 */
export async function openAuthority(
  paths: Layout,
  vault: Vault,
  domains: PermittedDomains,
  now: Date,
): Promise<StoredAuthority> {
  const key = await openSealed(vault, paths.caSealedKey, PURPOSE)
  const certificate = await exists(paths.caCertificate)
  if (certificate !== (key !== undefined)) {
    throw new SupervisorError(
      'CA_INCOMPLETE',
      `${certificate ? paths.caSealedKey : paths.caCertificate} is missing beside its counterpart`,
      'Restore it from a backup, or remove both files: a new CA is made and installed at the next install.',
    )
  }
  if (key === undefined) return makeAuthority(paths, vault, domains, now)
  const authority = {
    certificatePem: await readFile(paths.caCertificate, 'utf8'),
    privateKeyPem: key.toString('utf8'),
  }
  key.fill(0)
  return authority
}

/** Makes a CA for these domains, in the place of the one that is there. Clients have to be told to trust it. */
export async function makeAuthority(
  paths: Layout,
  vault: Vault,
  domains: PermittedDomains,
  now: Date,
): Promise<StoredAuthority> {
  const made = await createAuthority({ permittedDomains: domains, now })
  await makeDirectory(paths.caDirectory, { mode: 0o755 })
  await makeDirectory(paths.keysDirectory, { mode: 0o711 })
  await sealTo(vault, paths.caSealedKey, PURPOSE, Buffer.from(made.privateKeyPem), { replace: true })
  await writeFileAtomic(paths.caCertificate, Buffer.from(made.certificatePem), { mode: 0o644 })
  return made
}

/**
 * What is wrong with the CA's two files; one that never was made has two that are missing.
 * @param vault undefined: the key goes unchecked
 */
export async function checkAuthority(
  paths: Layout,
  vault: Vault | undefined,
): Promise<{ path: string; what: string }[]> {
  const faults: { path: string; what: string }[] = []
  const certificate = await attempt(paths.caCertificate, faults, async () => {
    const text = await readFile(paths.caCertificate, 'utf8')
    const read = new X509Certificate(text)
    const sound = read.toString() === text && read.verify(read.publicKey)
    if (!sound) throw new Error('it is not the certificate that was made')
    return read
  })
  if (vault === undefined) return faults
  await attempt(paths.caSealedKey, faults, async () => {
    const secret = await openSealed(vault, paths.caSealedKey, PURPOSE)
    if (secret === undefined) throw new Error('it is missing')
    const key = createPrivateKey(secret)
    secret.fill(0)
    if (certificate?.checkPrivateKey(key) === false) throw new Error('it is not the key of ca.crt')
  })
  return faults
}

async function attempt<T>(
  path: string,
  faults: { path: string; what: string }[],
  look: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await look()
  } catch (error) {
    faults.push({ path, what: messageOf(error) })
    return undefined
  }
}

/** How a CA's constraint differs from what the policy in force needs. */
export interface Misfit {
  /** Domains that it may not speak for: the catalogue has grown, or the policy intercepts more, since it was made. */
  readonly outgrown: readonly string[]
  /** It may speak for every site, though the policy no longer needs that: a stolen key would be worth too much. */
  readonly tooWide: boolean
  /** It isn't valid now, or ends soon. */
  readonly ended: boolean
}

/** Installs are repeated for other reasons every few months; a CA is made anew at the last one before its end. */
const ENDS_SOON_MS = 365 * 86_400_000

export function misfit(authority: StoredAuthority, domains: PermittedDomains, now: Date): Misfit {
  const { validFromDate, validToDate } = new X509Certificate(authority.certificatePem)
  const ended = now < validFromDate || validToDate.getTime() - now.getTime() < ENDS_SOON_MS
  const permitted = permittedDomainsOf(authority.certificatePem)
  if (permitted === 'every') return { outgrown: [], tooWide: domains !== 'every', ended }
  if (domains === 'every') return { outgrown: ['every other site'], tooWide: false, ended }
  const covered = (domain: string) => permitted.some((p) => domain === p || domain.endsWith(`.${p}`))
  return { outgrown: domains.filter((domain) => !covered(domain)), tooWide: false, ended }
}
