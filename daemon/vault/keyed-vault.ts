/**
 * The vault over one wrapping key, wherever that comes from.
 *
 * A blob: magic (8) ‖ wrapping key id (8) ‖ salt (32) ‖ nonce (12) ‖ ciphertext ‖ tag (16).
 * Key = HKDF-SHA256(wrapping key, salt, "agent-anchor vault v1 seal\0" ‖ purpose): one for each purpose and each
 * blob, so that no nonce can meet a key twice. AES-256-GCM over magic ‖ id ‖ salt ‖ purpose as AAD.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { assertPurpose, MAX_SECRET_BYTES, type Vault } from './vault.ts'
import { VaultError } from './vault-error.ts'

export const WRAPPING_KEY_BYTES = 32
const MAGIC = Buffer.from('AAGSEAL1')
const ID_BYTES = 8
const SALT_BYTES = 32
/** NIST SP 800-38D §5.2.1.1 and §5.2.1.2: 96-bit nonce, 128-bit tag. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEADER_BYTES = MAGIC.length + ID_BYTES + SALT_BYTES

/**
 * @param key the wrapping key; it stays the vault's
 * @param wrongKey the error where another key sealed the secret of that purpose
 */
export function keyedVault(options: {
  readonly level: string
  readonly key: Buffer
  readonly wrongKey: (purpose: string) => VaultError
}): Vault {
  const { level, key: wrappingKey, wrongKey } = options
  const id = Buffer.from(hkdfSync('sha256', wrappingKey, '', 'agent-anchor vault v1 id', ID_BYTES))
  return {
    level,
    async seal(purpose, secret) {
      assertPurpose(purpose)
      if (secret.length === 0 || secret.length > MAX_SECRET_BYTES) throw secretInvalid(secret.length)
      const header = Buffer.concat([MAGIC, id, randomBytes(SALT_BYTES)])
      const nonce = randomBytes(NONCE_BYTES)
      const key = blobKey(wrappingKey, header, purpose)
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
      if (!sealed.subarray(MAGIC.length, MAGIC.length + ID_BYTES).equals(id)) throw wrongKey(purpose)
      const header = sealed.subarray(0, HEADER_BYTES)
      const key = blobKey(wrappingKey, header, purpose)
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

function blobKey(wrappingKey: Buffer, header: Buffer, purpose: string): Buffer {
  const salt = header.subarray(-SALT_BYTES)
  const info = `agent-anchor vault v1 seal\0${purpose}`
  return Buffer.from(hkdfSync('sha256', wrappingKey, salt, info, WRAPPING_KEY_BYTES))
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
    'Restore the sealed file from a backup made with the same wrapping key.',
  )
}
