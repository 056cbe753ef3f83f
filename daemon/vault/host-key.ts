/**
 * The wrapping key for machines without TPM, systemd-creds or Keychain: random bytes in a file that only root can
 * read, outside the state directory, so that a copy of the state (a backup, a stolen disk image of /var)
 * opens nothing. It protects against no one who is root.
 */
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { makeDirectory } from '../base/durable/files.ts'
import { createKeyFile, type Ownership, readKeyFile } from './key-file.ts'
import { keyedVault, WRAPPING_KEY_BYTES } from './keyed-vault.ts'
import type { Vault } from './vault.ts'
import { VaultError } from './vault-error.ts'
import type { WrappingKeyProvider } from './wrapping-key.ts'

const ROOT: Ownership = { owner: 0 }

/** @throws VaultError `file-insecure`, `file-unreadable`, `host-key-damaged`, from both */
export function hostKeyProvider(file: string, ownership: Ownership = ROOT): WrappingKeyProvider {
  return {
    name: 'host-key',
    place: file,
    describe: async () => 'host-key',
    unavailable: async () => undefined,
    open: () => readHostKey(file, ownership),
    create: () => createHostKey(file, ownership),
  }
}

/** The vault over the host key in `file`, which is made (0400) if there is none. */
export async function hostKeyVault(file: string, ownership: Ownership = ROOT): Promise<Vault> {
  return hostVault(file, (await readHostKey(file, ownership)) ?? (await createHostKey(file, ownership)))
}

/**
 * The vault over a host key that must be there: for programs that only read, which must not put a new key
 * where the right one is to be restored.
 * @throws VaultError `host-key-missing`, and what `hostKeyVault` throws
 */
export async function openHostKeyVault(file: string, ownership: Ownership = ROOT): Promise<Vault> {
  const hostKey = await readHostKey(file, ownership)
  if (hostKey !== undefined) return hostVault(file, hostKey)
  throw hostKeyMissing(file)
}

export const hostKeyMissing = (file: string): VaultError =>
  new VaultError(
    'host-key-missing',
    `there is no host key at ${file}`,
    'Start the gateway once to make it, or if it was lost, restore it from a backup.',
  )

/** @param key the host key; it stays the vault's */
export function hostVault(file: string, key: Buffer): Vault {
  const wrongKey = (purpose: string) =>
    new VaultError(
      'host-key-wrong',
      `the sealed ${purpose} was sealed with another host key than ${file}`,
      `Restore the ${file} that belongs to this state directory from a backup.`,
    )
  return keyedVault({ level: 'host-key', key, wrongKey })
}

async function readHostKey(file: string, ownership: Ownership): Promise<Buffer | undefined> {
  const bytes = await readKeyFile(file, { ...ownership, maxBytes: 4096 })
  if (bytes === undefined) return undefined
  // A file of zeros is what some file systems leave after a crash.
  if (bytes.length === WRAPPING_KEY_BYTES && bytes.some((byte) => byte !== 0)) return bytes
  throw new VaultError(
    'host-key-damaged',
    `the host key ${file} is not ${WRAPPING_KEY_BYTES} random bytes`,
    'Restore it from a backup: without it the sealed keys of this machine cannot be opened.',
  )
}

async function createHostKey(file: string, ownership: Ownership): Promise<Buffer> {
  await makeDirectory(dirname(file), { mode: 0o755 })
  const fresh = randomBytes(WRAPPING_KEY_BYTES)
  await createKeyFile(file, fresh, 0o400)
  fresh.fill(0)
  // Read back: if another process was first, its key counts, and what counts has passed the checks.
  const stored = await readHostKey(file, ownership)
  if (stored !== undefined) return stored
  throw new VaultError(
    'file-unreadable',
    `the host key ${file} was removed while it was made`,
    'Start again, and find out what cleans that directory.',
  )
}
