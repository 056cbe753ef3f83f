/**
 * The CA on disk: certificate public, key sealed by the vault. The supervisor alone opens the key.
 */
import { readFile, stat } from 'node:fs/promises'
import { createAuthority, permittedDomainsOf } from '../../ca/authority.ts'
import { makeDirectory, writeFileAtomic } from '../base/durable.ts'
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
  domains: readonly string[],
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
  domains: readonly string[],
  now: Date,
): Promise<StoredAuthority> {
  const made = await createAuthority({ permittedDomains: [...domains], now })
  await makeDirectory(paths.caDirectory, { mode: 0o755 })
  await makeDirectory(paths.keysDirectory, { mode: 0o711 })
  await sealTo(vault, paths.caSealedKey, PURPOSE, Buffer.from(made.privateKeyPem), { replace: true })
  await writeFileAtomic(paths.caCertificate, Buffer.from(made.certificatePem), { mode: 0o644 })
  return made
}

/** Domains of the catalogue that the CA may not speak for: the catalogue has grown since it was made. */
export function outgrown(authority: StoredAuthority, domains: readonly string[]): string[] {
  const permitted = permittedDomainsOf(authority.certificatePem)
  return domains.filter((domain) => !permitted.some((p) => domain === p || domain.endsWith(`.${p}`)))
}
