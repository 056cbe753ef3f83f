/**
 * The vault for machines without TPM, systemd-creds or Keychain: a random key in a file that only root can
 * read, outside the state directory, so that a copy of the state (a backup, a stolen disk image of /var)
 * opens nothing. It protects against no one who is root.
 *
 * A blob: magic (8) ‖ host key id (8) ‖ salt (32) ‖ nonce (12) ‖ ciphertext ‖ tag (16).
 * Key = HKDF-SHA256(host key, salt, "agent-anchor vault v1 seal\0" ‖ purpose): one for each purpose and each
 * blob, so that no nonce can meet a key twice. AES-256-GCM over magic ‖ id ‖ salt ‖ purpose as AAD.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { makeDirectory } from '../base/durable.ts'
import { createKeyFile, type Ownership, readKeyFile } from './key-file.ts'
import { assertPurpose, MAX_SECRET_BYTES, type Vault } from './vault.ts'
import { VaultError } from './vault-error.ts'

const KEY_BYTES = 32
const MAGIC = Buffer.from('AAGSEAL1')
const ID_BYTES = 8
const SALT_BYTES = 32
/** NIST SP 800-38D §5.2.1.1 and §5.2.1.2: 96-bit nonce, 128-bit tag. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEADER_BYTES = MAGIC.length + ID_BYTES + SALT_BYTES

/**
 * The vault over the host key in `file`, which is made (0400) if there is none.
 * @param ownership whose file it must be; root's unless a test says otherwise
 * @throws VaultError `file-insecure`, `file-unreadable`, `host-key-damaged`
 */
export async function hostKeyVault(file: string, ownership: Ownership = { owner: 0 }): Promise<Vault> {
  return vaultOver(file, (await readHostKey(file, ownership)) ?? (await createHostKey(file, ownership)))
}

/**
 * The vault over a host key that must be there: for programs that only read, which must not put a new key
 * where the right one is to be restored.
 * @throws VaultError `host-key-missing`, and what `hostKeyVault` throws
 */
export async function openHostKeyVault(file: string, ownership: Ownership = { owner: 0 }): Promise<Vault> {
  const hostKey = await readHostKey(file, ownership)
  if (hostKey !== undefined) return vaultOver(file, hostKey)
  throw new VaultError(
    'host-key-missing',
    `there is no host key at ${file}`,
    'Start the gateway once to make it, or if it was lost, restore it from a backup.',
  )
}

function vaultOver(file: string, hostKey: Buffer): Vault {
  const id = Buffer.from(hkdfSync('sha256', hostKey, '', 'agent-anchor vault v1 id', ID_BYTES))

  return {
    level: 'host-key',
    async seal(purpose, secret) {
      assertPurpose(purpose)
      if (secret.length === 0 || secret.length > MAX_SECRET_BYTES) throw secretInvalid(secret.length)
      const header = Buffer.concat([MAGIC, id, randomBytes(SALT_BYTES)])
      const nonce = randomBytes(NONCE_BYTES)
      const key = blobKey(hostKey, header, purpose)
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
      key.fill(0)
      cipher.setAAD(Buffer.concat([header, Buffer.from(purpose)]))
      const sealed = [cipher.update(secret), cipher.final()]
      return Buffer.concat([header, nonce, ...sealed, cipher.getAuthTag()])
    },
    async open(purpose, sealed) {
      assertPurpose(purpose)
      const body = HEADER_BYTES + NONCE_BYTES
      const length = sealed.length - body - TAG_BYTES
      if (length < 1 || length > MAX_SECRET_BYTES) throw damaged(purpose)
      if (!sealed.subarray(0, MAGIC.length).equals(MAGIC)) throw damaged(purpose)
      if (!sealed.subarray(MAGIC.length, MAGIC.length + ID_BYTES).equals(id))
        throw wrongHostKey(purpose, file)
      const header = sealed.subarray(0, HEADER_BYTES)
      const key = blobKey(hostKey, header, purpose)
      const nonce = sealed.subarray(HEADER_BYTES, body)
      const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
      key.fill(0)
      decipher.setAAD(Buffer.concat([header, Buffer.from(purpose)]))
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
      const secret = decipher.update(sealed.subarray(body, -TAG_BYTES))
      try {
        decipher.final()
        return secret
      } catch {
        secret.fill(0)
        throw damaged(purpose)
      }
    },
  }
}

async function readHostKey(file: string, ownership: Ownership): Promise<Buffer | undefined> {
  const bytes = await readKeyFile(file, { ...ownership, maxBytes: 4096 })
  if (bytes === undefined) return undefined
  // A file of zeros is what some file systems leave after a crash.
  if (bytes.length === KEY_BYTES && bytes.some((byte) => byte !== 0)) return bytes
  throw new VaultError(
    'host-key-damaged',
    `the host key ${file} is not ${KEY_BYTES} random bytes`,
    'Restore it from a backup: without it the sealed keys of this machine cannot be opened.',
  )
}

async function createHostKey(file: string, ownership: Ownership): Promise<Buffer> {
  await makeDirectory(dirname(file), { mode: 0o755 })
  const fresh = randomBytes(KEY_BYTES)
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

function blobKey(hostKey: Buffer, header: Buffer, purpose: string): Buffer {
  const salt = header.subarray(-SALT_BYTES)
  return Buffer.from(hkdfSync('sha256', hostKey, salt, `agent-anchor vault v1 seal\0${purpose}`, KEY_BYTES))
}

function secretInvalid(length: number): VaultError {
  return new VaultError(
    'secret-invalid',
    `a secret of ${length} bytes can't be sealed`,
    `Seal between 1 and ${MAX_SECRET_BYTES} bytes.`,
  )
}

function damaged(purpose: string): VaultError {
  return new VaultError(
    'sealed-damaged',
    `the sealed ${purpose} was changed or damaged, or was sealed for another purpose`,
    'Restore the sealed file from a backup made with the same host key.',
  )
}

function wrongHostKey(purpose: string, file: string): VaultError {
  return new VaultError(
    'host-key-wrong',
    `the sealed ${purpose} was sealed with another host key than ${file}`,
    `Restore the ${file} that belongs to this state directory from a backup.`,
  )
}
